"""Files that commands write."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tagloom.cli.files import write_new
from tagloom.cli.generate import parse_seeds
from tagloom.errors import AlreadyExists, PermissionDenied


def test_other_bytes_are_never_replaced_by_accident(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.png"
    write_new(path, b"one")
    write_new(path, b"one")
    with pytest.raises(AlreadyExists, match="--overwrite") as caught:
        write_new(path, b"two")
    assert caught.value.reason == "FILE_EXISTS"
    assert path.read_bytes() == b"one"
    write_new(path, b"two", overwrite=True)
    assert path.read_bytes() == b"two"
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]
    assert stat.S_IMODE(path.stat().st_mode) & 0o400


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in ("file/a.png", "file/more/a.png"):
        with pytest.raises(PermissionDenied, match="choose another folder") as caught:
            write_new(tmp_path / place, b"one")
        assert (
            "Not a directory" in caught.value.message or "a file is where" in caught.value.message
        )


def test_seeds() -> None:
    assert parse_seeds("0-3,7, 5") == [0, 1, 2, 3, 7, 5]
    for text in ("", "a", "3-1", "-1", "1-", "0-4294967296", "0-10000"):
        with pytest.raises(ValueError, match="seed"):
            parse_seeds(text)
