"""The rules of the house: who may import whom, how long a module may be, how names are."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES = sorted(
    path.name for path in (ROOT / "services").iterdir() if (path / "service.py").is_file()
)
SOURCES = sorted(
    path
    for folder in ("tagloom", "services", "pipelines")
    for path in (ROOT / folder).rglob("*.py")
    if not path.is_relative_to(ROOT / "tagloom" / "v1")
)


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def touches(modules: set[str], package: str) -> set[str]:
    """Those of `modules` that are `package` or lie in it."""
    return {name for name in modules if name == package or name.startswith(package + ".")}


def relative(path: Path) -> str:
    """A path as the tree's reader writes it."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_imports_follow_the_tree(path: Path) -> None:
    modules = imports(path)
    name = relative(path)
    if name.startswith("tagloom/"):
        assert not touches(modules, "services"), "tagloom/ imports a service"
        assert not touches(modules, "pipelines"), "tagloom/ imports the pipeline"
    if name.startswith("pipelines/"):
        assert not touches(modules, "services"), "the pipeline talks to services over gRPC"
    if name.startswith("services/") and name.count("/") > 1:
        own = name.split("/")[1]
        for other in SERVICES:
            if other != own:
                assert not touches(modules, f"services.{other}"), f"imports services/{other}"
        if path.name not in {"service.py", "server.py", "convert.py", "metrics.py"}:
            assert not touches(modules, "grpc"), "a domain module imports grpc"
            assert not touches(modules, "tagloom.rpc"), "a domain module imports the server kit"
            assert not touches(modules, "tagloom.v1"), "a domain module imports the contract"
            for implementation in ("local", "s3"):
                assert not touches(modules, f"tagloom.store.{implementation}")
            assert not touches(modules, "minio"), "a domain module imports minio"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_modules_are_of_readable_length_and_named_for_what_they_do(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
    assert not re.search(r"(^|/)(utils?|common|helpers?|misc)(\.py|/)", relative(path))


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_nothing_is_unpickled(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            call = ast.unparse(node.func)
            assert call not in {"pickle.load", "pickle.loads", "yaml.load", "eval", "exec"}
            if call == "torch.load":
                safe = [k for k in node.keywords if k.arg == "weights_only"]
                assert safe, "torch.load without weights_only"
                assert ast.unparse(safe[0].value) == "True"


@pytest.mark.parametrize(
    ("service", "heavy"),
    [
        ("scraper", {"torch", "numpy"}),
        ("filter", {"torch"}),
        ("trainer", {"torch", "scipy"}),
        ("evaluator", {"torch", "scipy"}),
        ("generator", {"torch", "scipy"}),
    ],
)
def test_a_server_starts_without_what_only_its_workers_need(service: str, heavy: set[str]) -> None:
    code = f"import sys; import services.{service}.service; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not heavy & set(done.stdout.split())
