"""Files that appear complete or not at all, and what is said of those that cannot be written."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tagloom.errors import PermissionDenied, ResourceExhausted
from tagloom.files import not_written, unfinished


def test_it_has_its_name_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with unfinished(path) as draft:
        draft.write_bytes(b"new")
        assert draft.parent == tmp_path
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with unfinished(path) as draft:
            draft.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def _with_umask(umask: int) -> Iterator[None]:
    before = os.umask(umask)
    yield
    os.umask(before)


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
@pytest.mark.usefixtures("_with_umask")
def test_the_umask_is_followed_whoever_made_the_file(tmp_path: Path, umask: int) -> None:
    with unfinished(tmp_path / "written") as draft:
        draft.write_bytes(b"new")
    with unfinished(tmp_path / "replaced") as draft:
        handle, private = tempfile.mkstemp(dir=tmp_path)
        os.close(handle)
        os.replace(private, draft)
    for name in ("written", "replaced"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~umask


def test_no_room_and_no_permission_are_told_apart() -> None:
    path = Path("pictures", "a.png")
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        error = not_written(path, OSError(number, ""))
        assert isinstance(error, ResourceExhausted)
        assert error.reason == "DISK_FULL"
        assert str(path) in error.message
        assert "free some space" in error.message
    for number in (errno.EACCES, errno.EROFS, errno.ENOTDIR):
        error = not_written(path, OSError(number, ""))
        assert isinstance(error, PermissionDenied)
        assert error.reason == "PATH_NOT_WRITABLE"
        assert os.strerror(number) in error.message
        assert "choose another folder" in error.message
