"""Without what a live cluster needs its tests are skipped with a loud sentence; in CI they fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEST = "tests/cluster/test_images.py::test_they_run_as_nobody_special"
HERE = ("go", "git", "runc", "iptables", "conntrack", "unshare", "buildah", "skopeo", "debootstrap")


@pytest.fixture
def without_containerd(tmp_path: Path) -> dict[str, str]:
    """A PATH with everything but that (of what this machine has)."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in HERE:
        (programs / name).symlink_to(shutil.which(name) or "/bin/true")
    return {"PATH": str(programs)}


def run(
    environment: dict[str, str], *prefix: str, more: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "CI"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    return subprocess.run(
        [*prefix, *command, TEST, *more],
        env={**inherited, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("ci", [False, True])
def test_without_containerd(without_containerd: dict[str, str], ci: bool) -> None:
    done = run({**without_containerd, **({"CI": "true"} if ci else {})})
    sentence = "a kubelet needs containerd"
    told(done, sentence, ci=ci)


@pytest.mark.parametrize("ci", [False, True])
def test_without_root(ci: bool) -> None:
    """In a user namespace: what is read is root's still."""
    nobody = ("unshare", "--user", "--map-user=1000")
    if subprocess.run([*nobody, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here")
    done = run({"CI": "true"} if ci else {}, *nobody)
    told(done, "a kubelet needs root: run it as root", ci=ci)


def test_nothing_is_built_for_other_tests(tmp_path: Path) -> None:
    """Which may have fixtures of the same names."""
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\n@pytest.fixture\ndef images(): return 1\n\n"
        "@pytest.fixture\ndef programs(): return 1\n\n"
        "def test_it(images, programs): pass\n"
    )
    done = run(
        {"TAGLOOM_CACHE": str(tmp_path / "cache")},
        more=("-c", str(ROOT / "pyproject.toml"), "-m", "not cluster", str(tmp_path)),
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert "built" not in done.stdout + done.stderr
    assert not (tmp_path / "cache").exists()


def told(done: subprocess.CompletedProcess[str], sentence: str, *, ci: bool) -> None:
    output = done.stdout + done.stderr
    assert done.returncode == (1 if ci else 0), output
    assert ("1 error" if ci else "1 skipped") in done.stdout, output
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("NOT RUN"))
    assert line.startswith(f"NOT RUN, tests on a real kubelet: {sentence}")
    assert "Traceback" not in output
