"""The contract: lint-clean, and the committed stubs are what protos/ says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.longrunning import operations_proto_pb2 as operations_pb2

from tagloom.v1 import (
    evaluator_pb2,
    filter_pb2,
    generator_pb2,
    operation_pb2,
    scraper_pb2,
    trainer_pb2,
)

ROOT = Path(__file__).resolve().parents[2]
BUF = Path(sys.executable).parent / "buf"


@pytest.fixture(scope="module", autouse=True)
def _googleapis() -> None:
    tool = [sys.executable, str(ROOT / "tools" / "protos.py"), "--googleapis-only"]
    subprocess.run(tool, check=True)


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUF, "lint"], cwd=folder, capture_output=True, text=True, check=False)


def test_buf_lint_is_clean() -> None:
    done = lint(ROOT)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_buf_lint_would_find_a_missing_comment(tmp_path: Path) -> None:
    """Guards the test above against a configuration that checks nothing."""
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    (tmp_path / "build").symlink_to(ROOT / "build")
    broken = tmp_path / "protos" / "tagloom" / "v1" / "scraper.proto"
    broken.write_text(broken.read_text() + "message X {}\n")
    (tmp_path / "buf.yaml").write_text((ROOT / "buf.yaml").read_text())
    assert 'Message "X" should have a non-empty comment' in lint(tmp_path).stdout


def test_committed_stubs_are_what_the_protos_say(tmp_path: Path) -> None:
    tool = [sys.executable, str(ROOT / "tools" / "protos.py"), "--out", str(tmp_path)]
    subprocess.run(tool, check=True, capture_output=True)
    fresh = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*_pb2*.py*")}
    folder = ROOT / "tagloom" / "v1"
    committed = {path.relative_to(ROOT): path.read_bytes() for path in folder.glob("*_pb2*.py*")}
    assert fresh.keys() == committed.keys()
    stale = [str(path) for path in fresh if fresh[path] != committed[path]]
    assert not stale, f"run `make protos`: {stale}"


def test_every_long_running_method_says_what_its_operation_holds() -> None:
    """AIP-151: `operation_info` lets a generated client unpack response and metadata."""
    found = 0
    for module in (evaluator_pb2, filter_pb2, generator_pb2, scraper_pb2, trainer_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                if method.output_type.full_name != "google.longrunning.Operation":
                    continue
                found += 1
                info = method.GetOptions().Extensions[operations_pb2.operation_info]
                assert info.response_type in module.DESCRIPTOR.message_types_by_name, method.name
                assert info.metadata_type in operation_pb2.DESCRIPTOR.message_types_by_name
    assert found == 12
