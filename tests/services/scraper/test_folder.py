from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.scraper import folder
from services.scraper.intake import MAX_IMAGE_BYTES, Photo, Refusal
from tagloom.errors import PermissionDenied
from tagloom.folders import check_folder


def outcome(root: Path, excluded: Path | None = None) -> dict[str, str]:
    """What became of each entry: "photo", "film" or the reason."""
    result = {}
    for entry in folder.entries(root, excluded):
        taken = folder.read(entry)
        kind = "photo" if isinstance(taken, Photo) else "film"
        result[entry.source] = taken.reason if isinstance(taken, Refusal) else kind
    return result


def test_every_file_is_met_once_in_order(photo_folder: Path) -> None:
    assert list(outcome(photo_folder).items()) == [
        ("b/cat again.jpeg", "photo"),
        ("b/coffee.png", "photo"),
        ("b/rocket", "photo"),
        ("cat.jpg", "photo"),
        ("notes.txt", "NOT_A_PHOTO"),
    ]


def test_the_bytes_decide_not_the_name(tmp_path: Path, jpeg: bytes) -> None:
    (tmp_path / "text.JPG").write_text("I am no photo")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "photo.txt").write_bytes(jpeg)
    (tmp_path / "anim.jpg").write_bytes(b"GIF89a" + bytes(40))
    (tmp_path / "clip.jpg").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(40))
    (tmp_path / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 3])
    assert outcome(tmp_path) == {
        "anim.jpg": "UNSUPPORTED_FORMAT",
        "clip.jpg": "film",
        "cut.jpg": "photo",  # truncated: the filter's verdict, with the bytes to show for it
        "empty.png": "EMPTY_FILE",
        "photo.txt": "photo",
        "text.JPG": "NOT_AN_IMAGE",
    }


def test_details_are_sentences(tmp_path: Path) -> None:
    (tmp_path / "anim.gif").write_bytes(b"GIF89a" + bytes(40))
    (taken,) = map(folder.read, folder.entries(tmp_path))
    assert isinstance(taken, Refusal)
    assert taken.detail == "It is a GIF image; convert it to JPEG, PNG or WebP."
    assert taken.size == 46
    assert taken.time is not None


def test_links(tmp_path: Path, jpeg: bytes) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(jpeg)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.jpg").write_bytes(jpeg)
    root = tmp_path / "photos"
    (root / "sub").mkdir(parents=True)
    (root / "cat.jpg").write_bytes(jpeg)
    (root / "alias.jpg").symlink_to("cat.jpg")
    (root / "out.jpg").symlink_to(secret)
    (root / "out-folder").symlink_to(tmp_path / "elsewhere")
    (root / "up").symlink_to("..")
    (root / "loop").symlink_to("loop")
    (root / "gone.jpg").symlink_to("nothing")
    (root / "again").symlink_to("sub")
    # A link to a link: where it ends counts.
    (root / "twice.jpg").symlink_to("out.jpg")
    assert outcome(root) == {
        "again": "SYMLINK_TO_FOLDER",
        "alias.jpg": "photo",
        "cat.jpg": "photo",
        "gone.jpg": "BROKEN_LINK",
        "loop": "BROKEN_LINK",
        "out-folder": "SYMLINK_OUTSIDE",
        "out.jpg": "SYMLINK_OUTSIDE",
        "twice.jpg": "SYMLINK_OUTSIDE",
        "up": "SYMLINK_OUTSIDE",
    }


def test_a_link_that_takes_the_files_place_after_listing_is_not_followed(
    tmp_path: Path, jpeg: bytes
) -> None:
    (tmp_path / "secret").write_bytes(jpeg)
    root = tmp_path / "photos"
    root.mkdir()
    (root / "a.jpg").write_bytes(jpeg)
    (entry,) = folder.entries(root)
    (root / "a.jpg").unlink()
    (root / "a.jpg").symlink_to(tmp_path / "secret")
    taken = folder.read(entry)
    assert isinstance(taken, Refusal)
    assert taken.reason == "UNREADABLE"


def test_devices_pipes_and_sockets_do_not_hang_it(tmp_path: Path, jpeg: bytes) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "swapped.jpg").write_bytes(jpeg)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        found = folder.entries(tmp_path)
        (tmp_path / "swapped.jpg").unlink()
        os.mkfifo(tmp_path / "swapped.jpg")  # after the listing
        reasons = [getattr(folder.read(entry), "reason", "photo") for entry in found]
    assert reasons == ["NOT_A_FILE", "NOT_A_FILE", "NOT_A_FILE", "SYMLINK_OUTSIDE"]


def test_size_limit(tmp_path: Path, jpeg: bytes) -> None:
    for name, size in (("at.jpg", MAX_IMAGE_BYTES), ("above.jpg", MAX_IMAGE_BYTES + 1)):
        with open(tmp_path / name, "wb") as file:
            file.write(jpeg)
            file.truncate(size)  # sparse: takes no disk
    (tmp_path / "long.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    os.truncate(tmp_path / "long.mp4", 4 * MAX_IMAGE_BYTES)
    assert outcome(tmp_path) == {"above.jpg": "TOO_LARGE", "at.jpg": "photo", "long.mp4": "VIDEO"}


def test_a_file_removed_after_listing_is_told(tmp_path: Path, jpeg: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg)
    (entry,) = folder.entries(tmp_path)
    (tmp_path / "a.jpg").unlink()
    taken = folder.read(entry)
    assert isinstance(taken, Refusal)
    assert taken.reason == "UNREADABLE"
    assert "No such file" in taken.detail


def test_names_that_are_not_utf8(tmp_path: Path, jpeg: bytes) -> None:
    with open(os.fsencode(tmp_path) + b"/caf\xe9.jpg", "wb") as file:
        file.write(jpeg)
    assert outcome(tmp_path) == {"caf\\xe9.jpg": "photo"}


def test_excluded_folder_is_not_entered(photo_folder: Path) -> None:
    found = outcome(photo_folder, photo_folder / "b")
    assert found == {"b/": "OBJECT_STORE", "cat.jpg": "photo", "notes.txt": "NOT_A_PHOTO"}


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder that others may enter; inside the test the process is an ordinary user."""
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    was_root = os.geteuid() == 0
    try:
        yield root
    finally:
        if was_root:
            os.seteuid(0)
        for path in (root, *root.rglob("*")):
            path.chmod(0o755)
        shutil.rmtree(root)


def become_nobody() -> None:
    if os.geteuid() == 0:
        os.seteuid(65534)


def test_unreadable_files_and_folders_are_refused(unprivileged: Path, jpeg: bytes) -> None:
    root = unprivileged
    (root / "a.jpg").write_bytes(jpeg)
    (root / "b.jpg").write_bytes(jpeg)
    (root / "b.jpg").chmod(0)
    (root / "closed").mkdir()
    (root / "closed" / "c.jpg").write_bytes(jpeg)
    (root / "closed").chmod(0)
    become_nobody()
    assert outcome(root) == {"a.jpg": "photo", "b.jpg": "UNREADABLE", "closed/": "UNREADABLE"}
    with pytest.raises(PermissionDenied) as caught:
        check_folder(str(root / "closed"))
    assert caught.value.reason == "FOLDER_UNREADABLE"
