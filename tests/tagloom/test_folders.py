"""A service reads only the folders it may."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tagloom.errors import InvalidArgument, NotFound, PermissionDenied
from tagloom.folders import allowed_roots, check_file, check_folder, served_roots


def test_roots_are_a_list_of_absolute_paths() -> None:
    assert allowed_roots(None) is None
    assert allowed_roots("  ") is None
    assert allowed_roots(f"/a{os.pathsep}/b") == (Path("/a"), Path("/b"))
    with pytest.raises(InvalidArgument) as caught:
        allowed_roots("/a:photos")
    assert caught.value.reason == "FOLDER_ROOT_INVALID"


def test_without_a_list_only_a_server_on_loopback_reads_any_folder() -> None:
    assert served_roots({}, loopback=True) is None
    assert served_roots({}, loopback=False) == ()
    listed = {"TAGLOOM_FOLDERS": "/srv/photos"}
    for loopback in (True, False):
        assert served_roots(listed, loopback=loopback) == (Path("/srv/photos"),)


def test_a_folder_inside_the_roots_is_given_by_its_real_path(tmp_path: Path) -> None:
    (tmp_path / "photos" / "cats").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    real = (tmp_path / "photos" / "cats").resolve()
    assert check_folder(str(tmp_path / "link" / "cats")) == real
    assert check_folder(str(tmp_path / "link" / "cats"), [tmp_path / "photos"]) == real
    assert check_folder(str(tmp_path / "link" / "cats"), [tmp_path / "link"]) == real


@pytest.mark.parametrize("path", ["", "photos", "a\0b", "/a\0b"])
def test_what_is_no_absolute_path_is_refused(path: str) -> None:
    with pytest.raises(InvalidArgument, match="is not a folder that") as caught:
        check_folder(path)
    assert caught.value.reason == "FOLDER_INVALID"
    with pytest.raises(InvalidArgument, match="is not a file that") as caught:
        check_file(path)
    assert caught.value.reason == "FILE_INVALID"


def test_outside_of_the_roots_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "out").symlink_to(tmp_path)
    for path in (tmp_path, tmp_path / "absent", tmp_path / "public" / "out"):
        with pytest.raises(PermissionDenied) as caught:
            check_folder(str(path), [tmp_path / "public"])
        assert caught.value.reason == "FOLDER_NOT_ALLOWED"
    with pytest.raises(PermissionDenied):
        check_folder(str(tmp_path), [])  # no folder at all


def test_an_absent_folder_and_a_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotFound):
        check_folder(str(tmp_path / "absent"))
    with pytest.raises(InvalidArgument) as caught:
        check_folder(str(tmp_path / "file"))
    assert caught.value.reason == "NOT_A_FOLDER"


def test_a_file_is_told_from_what_is_absent_and_what_is_none(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    assert check_file(str(file)) == file.resolve()
    assert check_file(str(file), [tmp_path]) == file.resolve()
    for absent in ("absent", "list.txt/x", "loop", "n" * 300):
        with pytest.raises(NotFound, match="There is no file") as caught:
            check_file(str(tmp_path / absent))
        assert caught.value.reason == "FILE_NOT_FOUND"
        with pytest.raises(NotFound, match="There is no folder") as caught:
            check_folder(str(tmp_path / absent))
        assert caught.value.reason == "FOLDER_NOT_FOUND"
    for other in (tmp_path, tmp_path / "pipe"):  # which would block who opens it
        with pytest.raises(InvalidArgument) as wrong:
            check_file(str(other))
        assert wrong.value.reason == "NOT_A_FILE"
    with pytest.raises(PermissionDenied) as outside:
        check_file(str(tmp_path / "absent"), [tmp_path / "public"])
    assert outside.value.reason == "FILE_NOT_ALLOWED"


def test_a_server_that_reads_no_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(PermissionDenied, match="it reads none until TAGLOOM_FOLDERS names some"):
        check_folder(str(tmp_path), ())
