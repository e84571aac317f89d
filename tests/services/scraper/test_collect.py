from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.scraper.collect import CollectRequest, collect
from services.scraper.ledger import from_lines
from tagloom.artifacts import layout
from tagloom.artifacts.collection import Collection, FolderSource, Item, content_hash
from tagloom.errors import (
    AlreadyExists,
    Cancelled,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    TagloomError,
)
from tagloom.store import Store, open_store


def request(folder: Path | str, collection_id: str = "cats") -> CollectRequest:
    return CollectRequest(collection_id, FolderSource(path=str(folder)))


def items(store: Store, collection_id: str = "cats") -> list[Item]:
    return list(from_lines(store.get(layout.collection_items(collection_id))))


def test_a_folder_becomes_a_collection(store: Store, photo_folder: Path, jpeg: bytes) -> None:
    made = collect(store, request(photo_folder))
    assert (made.stored, made.duplicates, made.skipped, made.refused) == (3, 1, 1, 0)
    met = items(store)
    assert [(i.source, i.state) for i in met] == [
        ("b/cat again.jpeg", "stored"),
        ("b/coffee.png", "stored"),
        ("b/rocket", "stored"),
        ("cat.jpg", "duplicate"),
        ("notes.txt", "skipped"),
    ]
    assert met[3].detail == "The same bytes as b/cat again.jpeg."
    assert met[3].sha256 == met[0].sha256 == hashlib.sha256(jpeg).hexdigest()
    assert met[0].size == len(jpeg)
    assert store.get(layout.image(met[0].sha256)) == jpeg
    assert made.content_sha256 == content_hash(i.sha256 for i in met if i.state == "stored")
    key = layout.collection_manifest("cats")
    assert Collection.load(store, key, "collections/cats") == made
    assert len(list(store.iterate("images/"))) == 3


def test_progress_reaches_the_end(store: Store, photo_folder: Path) -> None:
    told: list[tuple[str, int, int]] = []
    collect(store, request(photo_folder), lambda phase, done, total, _="": told.append(
        (phase, done, total)
    ))  # fmt: skip
    assert told[0][0] == "scan"
    assert told[1:] == [("collect", n, 5) for n in range(6)]


def test_again_is_the_same_collection_and_writes_nothing(store: Store, photo_folder: Path) -> None:
    made = collect(store, request(photo_folder))
    before = [(o.key, o.etag, o.modified) for o in store.iterate()]
    assert collect(store, request(photo_folder)) == made
    assert [(o.key, o.etag, o.modified) for o in store.iterate()] == before


def test_an_id_from_another_source_is_refused_and_kept(
    store: Store, photo_folder: Path, tmp_path: Path
) -> None:
    made = collect(store, request(photo_folder))
    with pytest.raises(AlreadyExists) as caught:
        collect(store, request(photo_folder / "b"))
    assert caught.value.reason == "RESOURCE_EXISTS"
    assert Collection.load(store, layout.collection_manifest("cats"), "") == made


def test_two_collections_share_images(store: Store, photo_folder: Path) -> None:
    collect(store, request(photo_folder, "all"))
    images = {o.key: o.modified for o in store.iterate("images/")}
    sub = collect(store, request(photo_folder / "b", "some"))
    assert sub.stored == 3
    assert {o.key: o.modified for o in store.iterate("images/")} == images


@pytest.mark.parametrize(
    ("make", "error", "reason"),
    [
        (lambda p: p.mkdir(), FailedPrecondition, "FOLDER_EMPTY"),
        (lambda p: (p / "sub").mkdir(parents=True), FailedPrecondition, "FOLDER_EMPTY"),
        (lambda p: None, NotFound, "FOLDER_NOT_FOUND"),
        (lambda p: p.write_text("x"), InvalidArgument, "NOT_A_FOLDER"),
    ],
)
def test_bad_folders_leave_nothing_behind(
    store: Store, tmp_path: Path, make: object, error: type[TagloomError], reason: str
) -> None:
    assert callable(make)
    make(tmp_path / "photos")
    with pytest.raises(error) as caught:
        collect(store, request(tmp_path / "photos"))
    assert caught.value.reason == reason
    assert list(store.iterate()) == []


def test_links_out_of_the_folder_alone(store: Store, photo_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    (folder / "cat.jpg").symlink_to(photo_folder / "cat.jpg")
    with pytest.raises(FailedPrecondition, match="links that lead out of the folder") as caught:
        collect(store, request(folder))
    assert caught.value.metadata["reasons"] == "SYMLINK_OUTSIDE"


def test_text_files_renamed(store: Store, tmp_path: Path) -> None:
    for n in range(3):
        (tmp_path / f"{n}.jpg").write_text("text " * n)
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in tmp_path.glob("*.jpg"):
        path.rename(folder / path.name)
    with pytest.raises(FailedPrecondition) as caught:
        collect(store, request(folder))
    assert caught.value.reason == "NO_PHOTOS"
    assert str(caught.value) == (
        f"The folder {folder} holds no photo that can be taken, but 2 NOT_AN_IMAGE (1.jpg: Its "
        "name says image, its bytes do not; replace it by a JPEG, PNG or WebP file), 1 EMPTY_FILE "
        "(0.jpg: The file has no bytes; copy it again); put JPEG, PNG, WebP files there."
    )
    assert list(store.iterate()) == []


def test_roots_are_kept_by_the_work_itself(store: Store, photo_folder: Path) -> None:
    source = FolderSource(path=str(photo_folder))
    with pytest.raises(PermissionDenied):
        collect(store, CollectRequest("cats", source, folder_roots=(Path("/srv"),)))


def test_invalid_id(store: Store, photo_folder: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        collect(store, request(photo_folder, "../cats"))
    assert caught.value.reason == "INVALID_ID"


def test_the_store_inside_the_folder_is_passed_over(photo_folder: Path) -> None:
    store = open_store(str(photo_folder / "tagloom-data"))
    collect(store, request(photo_folder, "first"))
    again = collect(store, request(photo_folder, "second"))
    assert again.stored == 3
    assert [i for i in items(store, "second") if i.reason == "OBJECT_STORE"]
    with pytest.raises(InvalidArgument) as caught:
        collect(store, request(photo_folder / "tagloom-data" / "images", "third"))
    assert caught.value.reason == "FOLDER_IS_STORE"


def test_cancelled_between_two_files_then_done(store: Store, photo_folder: Path) -> None:
    def stop(phase: str, done: int, total: int, message: str = "") -> None:
        if done == 2:
            raise Cancelled("The work was asked to stop.", reason="CANCELLED")

    with pytest.raises(Cancelled):
        collect(store, request(photo_folder), stop)
    assert not store.exists(layout.collection_manifest("cats"))
    assert len(list(store.iterate("images/"))) == 2
    assert collect(store, request(photo_folder)).stored == 3


_CHILD = """
import sys, time
from services.scraper.collect import CollectRequest, collect
from tagloom.artifacts.collection import FolderSource
from tagloom.store import open_store
def report(phase, done, total, message=""):
    print(phase, done, flush=True)
    time.sleep(0.002)
collect(open_store(sys.argv[1]), CollectRequest("cats", FolderSource(path=sys.argv[2])), report)
"""


@pytest.mark.parametrize("kill_at", [3, 20])
def test_killed_in_the_middle_then_finished(
    store: Store, tmp_path: Path, jpeg: bytes, kill_at: int
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for n in range(40):  # a comment after the end of a JPEG changes its hash, not its picture
        (folder / f"{n:02}.jpg").write_bytes(jpeg + bytes([n // 2]))
    process = subprocess.Popen(
        [sys.executable, "-c", _CHILD, store.url, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line == f"collect {kill_at}\n":
            os.kill(process.pid, signal.SIGKILL)
            break
    assert process.wait(timeout=20) == -signal.SIGKILL
    process.stdout.close()
    assert not store.exists(layout.collection_manifest("cats"))
    survivors = {o.key: o.modified for o in store.iterate("images/")}
    assert len(survivors) >= kill_at // 2

    time.sleep(0.01)
    made = collect(store, request(folder))
    assert (made.stored, made.duplicates) == (20, 20)
    images = {o.key: o.modified for o in store.iterate("images/")}
    assert images.items() >= survivors.items()  # what was there was not written again
    assert len(images) == 20
    for item in items(store):
        assert hashlib.sha256(store.get(layout.image(item.sha256))).hexdigest() == item.sha256
