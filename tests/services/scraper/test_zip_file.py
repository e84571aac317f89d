"""Zips: good ones, strange ones, and ones that were made to do harm."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.scraper.collect import CollectRequest, collect
from services.scraper.ledger import from_lines
from services.scraper.zip_file import ZipPhotos
from tagloom.artifacts import layout
from tagloom.artifacts.collection import ZipSource
from tagloom.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from tagloom.store import Store


def met(store: Store) -> dict[str, str]:
    lines = store.get(layout.collection_items("x"))
    return {i.source: f"{i.state} {i.reason}".strip() for i in from_lines(lines)}


def link(name: str, target: str) -> tuple[zipfile.ZipInfo, str]:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info, target


def test_a_zip_is_taken_as_a_folder_is(
    store: Store, tmp_path: Path, jpeg: bytes, png: bytes
) -> None:
    path = tmp_path / "photos.zip"
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("hidden.jpg", jpeg)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("b")
        archive.writestr("b/cat.jpg", jpeg)
        archive.writestr("again.jpg", jpeg)
        archive.writestr("fleißig/ü.png", png)
        archive.writestr("notes.txt", "no photo")
        archive.writestr("lie.jpg", "no photo")
        archive.writestr("inner.zip", inner.getvalue())
        archive.writestr("../../etc/passwd.jpg", jpeg + b"1")
        archive.writestr("/absolute.jpg", jpeg + b"2")
        archive.writestr("back\\slash.jpg", jpeg + b"3")
        archive.writestr(*link("link.jpg", "/etc/passwd"))
        archive.writestr("bomb.jpg", jpeg + bytes(50 * 2**20))
        archive.writestr("lzma.jpg", jpeg + b"4", zipfile.ZIP_LZMA)
    made = collect(store, CollectRequest("x", ZipSource(path=str(path))))
    assert met(store) == {
        "b/cat.jpg": "stored",
        "again.jpg": "duplicate",
        "fleißig/ü.png": "stored",
        "notes.txt": "skipped NOT_A_PHOTO",
        "lie.jpg": "refused NOT_AN_IMAGE",
        "inner.zip": "skipped NOT_A_PHOTO",
        "../../etc/passwd.jpg": "refused NAME_UNSAFE",
        "/absolute.jpg": "refused NAME_UNSAFE",
        "back\\slash.jpg": "refused NAME_UNSAFE",
        "link.jpg": "refused SYMLINK",
        "bomb.jpg": "refused ZIP_BOMB",
        "lzma.jpg": "stored",
    }
    assert made.stored == 3
    again = collect(store, CollectRequest("x", ZipSource(path=str(path))))
    assert again == made


def test_damaged_and_encrypted_entries_cost_only_themselves(
    store: Store, tmp_path: Path, jpeg: bytes, png: bytes
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jpg", jpeg)
        archive.writestr("damaged.png", png)
        archive.writestr("locked.jpg", jpeg + b"1")
        archive.writestr("strange.jpg", jpeg + b"2")
    data = bytearray(buffer.getvalue())
    data[data.index(png) + 1000] ^= 1
    for name, offset, value in (("locked.jpg", 8, 1), ("strange.jpg", 10, 99)):
        start = data.rindex(name.encode()) - 46  # its entry in the central directory
        struct.pack_into("<H", data, start + offset, value)
    path = tmp_path / "photos.zip"
    path.write_bytes(data)
    collect(store, CollectRequest("x", ZipSource(path=str(path))))
    assert met(store) == {
        "a.jpg": "stored",
        "damaged.png": "refused UNREADABLE",
        "locked.jpg": "refused ENCRYPTED",
        "strange.jpg": "refused UNREADABLE",
    }


def test_entries_upon_one_another(store: Store, tmp_path: Path) -> None:
    """A bomb of overlapping entries (D. Fifield, "A better zip bomb", 2019)."""
    photo = b"\xff\xd8\xff" + random.Random(0).randbytes(2**20)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jpg", photo)
        for number in range(50):
            info = zipfile.ZipInfo(f"{number}.jpg")
            info.file_size = info.compress_size = len(photo)
            info.CRC, info.header_offset = archive.getinfo("a.jpg").CRC, 0
            archive.filelist.append(info)
    path = tmp_path / "bomb.zip"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(InvalidArgument, match="lie upon one another") as caught:
        collect(store, CollectRequest("x", ZipSource(path=str(path))))
    assert caught.value.reason == "ZIP_INVALID"
    assert list(store.iterate()) == []


def test_an_entry_without_a_name(store: Store, tmp_path: Path, jpeg: bytes) -> None:
    path, buffer = tmp_path / "photos.zip", io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jpg", jpeg)
        archive.writestr("b.jpg", jpeg)
    path.write_bytes(buffer.getvalue().replace(b"b.jpg", b"\0.jpg"))  # which ends where C's do
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["a.jpg", ""]
    collect(store, CollectRequest("x", ZipSource(path=str(path))))
    assert met(store) == {"a.jpg": "stored", "": "refused NAME_UNSAFE"}


def test_a_zip_without_photos_says_what_is_in_it(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    for entries, said in (
        ([], "holds nothing"),
        (["a/"], "holds nothing"),
        (["n" * 3000, "b"], f"2 NOT_A_PHOTO ({'n' * 80}…: It is not a JPEG, PNG or WebP file)"),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            for name in entries:
                archive.writestr(name, "text" * (not name.endswith("/")))
        with pytest.raises(FailedPrecondition) as caught:
            collect(store, CollectRequest("x", ZipSource(path=str(path))))
        assert caught.value.reason == "NO_PHOTOS"
        assert said in caught.value.message
        assert caught.value.message.endswith("; put JPEG, PNG, WebP files into it.")


def test_what_is_no_zip(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    for data in (b"", b"PK\x05\x06", b"text" * 1000, b"PK\x03\x04" + bytes(200)):
        path.write_bytes(data)
        with pytest.raises(InvalidArgument) as caught:
            collect(store, CollectRequest("x", ZipSource(path=str(path))))
        assert caught.value.reason == "ZIP_INVALID"
    with pytest.raises(NotFound):
        collect(store, CollectRequest("x", ZipSource(path=str(tmp_path / "none.zip"))))
    with pytest.raises(InvalidArgument, match="absolute path"):
        collect(store, CollectRequest("x", ZipSource(path="none.zip")))
    roots = (tmp_path / "elsewhere",)
    with pytest.raises(PermissionDenied, match="TAGLOOM_FOLDERS"):
        collect(store, CollectRequest("x", ZipSource(path=str(path)), folder_roots=roots))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link.zip").symlink_to(path)
    inside = str(tmp_path / "elsewhere" / "link.zip")
    with pytest.raises(PermissionDenied):
        collect(store, CollectRequest("x", ZipSource(path=inside), folder_roots=roots))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 200),
)
def test_no_damage_breaks_the_reader(
    changes: list[tuple[int, int]], cut: int, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", b"\xff\xd8\xff" + random.Random(0).randbytes(200))
        archive.writestr("b/c.txt", "text" * 50)
    damaged = bytearray(buffer.getvalue())
    for place, value in changes:
        damaged[place % len(damaged)] = value
    path = tmp_path / "photos.zip"
    path.write_bytes(damaged[: len(damaged) - cut])
    # Whatever was done to it: its entries are read or refused, or the zip as a whole is.
    with contextlib.suppress(InvalidArgument), ZipPhotos.open(path) as photos:
        for entry in photos.entries:
            photos.read(entry)
