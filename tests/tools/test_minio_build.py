"""The builder of MinIO: what it does when there is nothing to do, and when it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import minio_build

SCRIPT = Path(minio_build.__file__)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAGLOOM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_is_built_is_reused(empty_cache: Path) -> None:
    program = minio_build.minio_path()
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    assert minio_build.build() == program
    assert program.read_text() == "#!/bin/sh\n"


def test_failed_build_says_why(empty_cache: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text(
        "#!/bin/sh\necho 'go: downloading x' >&2\necho 'go: no route to proxy' >&2\nexit 1\n"
    )
    go.chmod(0o755)
    assert minio_build._go_install(str(go), tmp_path) == "go: no route to proxy"


@pytest.mark.parametrize(
    ("arguments", "ci", "code"),
    [([], "", 1), (["--if-possible"], "", 0), (["--if-possible"], "1", 1)],
)
def test_no_go_anywhere(
    empty_cache: Path, tmp_path: Path, arguments: list[str], ci: str, code: int
) -> None:
    """An interpreter without pip or uv beside it, on a path with nothing on it."""
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    done = subprocess.run(
        [bare / "bin" / "python", SCRIPT, *arguments],
        env={"PATH": "", "CI": ci, "TAGLOOM_CACHE": os.environ["TAGLOOM_CACHE"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert "MinIO cannot be built" in done.stderr
    assert "Install Go" in done.stderr
    assert [path.name for path in minio_build.minio_path().parent.iterdir()] == ["lock"]
