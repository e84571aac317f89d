"""What an update adds, from sources that are not Instagram; frames of videos there."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from films import film
from instagram_world import photo
from web_server import Page, WebServer

from services.scraper.catalog import list_items
from services.scraper.collect import CollectRequest, collect, refresh, refresh_request
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.collection import (
    Collection,
    Comment,
    FolderSource,
    Item,
    Source,
    UrlsSource,
    ZipSource,
    read_items,
)
from tagloom.errors import AlreadyExists, FailedPrecondition, NotFound
from tagloom.store import Store

FRESH = CollectRequest("", FolderSource(path=""))


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    monkeypatch.setenv("TAGLOOM_URLS_ALLOW", "127.0.0.0/8")
    monkeypatch.setenv("TAGLOOM_URLS_ATTEMPTS", "1")
    with WebServer() as server:
        yield server


def run(store: Store, source: Source, frames: int = 0) -> Collection:
    return collect(store, CollectRequest("x", source, frames_per_video=frames))


def update(store: Store) -> Collection:
    return refresh(store, refresh_request(store, "collections/x", FRESH))


def met(store: Store) -> list[tuple[str, str]]:
    made = Collection.load(store, layout.collection_manifest("x"), "collections/x")
    found = [f"{i.state} {i.reason}".strip() for i in read_items(store, made)]
    return [(i.source, state) for i, state in zip(read_items(store, made), found, strict=True)]


def test_a_folder(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(photo(0))
    (folder / "b.jpg").write_bytes(photo(1))
    source = FolderSource(path=str(folder))
    first = run(store, source)
    assert update(store) == first
    (folder / "c.jpg").write_bytes(photo(2))
    (folder / "b.jpg").write_bytes(photo(3))
    os.utime(folder / "b.jpg", (2e9, 2e9))
    (folder / "a.jpg").unlink()
    made = update(store)
    assert met(store) == [
        ("a.jpg", "stored"),
        ("b.jpg", "stored"),
        ("b.jpg", "stored"),  # what lies there now
        ("c.jpg", "stored"),
    ]
    assert (made.revision, made.stored) == (2, 4)
    assert update(store) == made
    assert run(store, source) == made  # asked for anew, it is there
    with pytest.raises(NotFound):
        refresh_request(store, "collections/y", FRESH)


def test_a_zip(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", photo(0))
    run(store, ZipSource(path=str(path)))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b.jpg", photo(1))
    update(store)
    assert met(store) == [("a.jpg", "stored"), ("b.jpg", "stored")]


def test_a_list_of_addresses(store: Store, tmp_path: Path, web: WebServer) -> None:
    web.pages = {
        "/a.jpg": Page(photo(0)),
        "/later.jpg": [Page(status=500), Page(photo(1))],
        "/gone.jpg": Page(status=404),
    }
    listed = tmp_path / "urls.txt"
    listed.write_text("\n".join(map(web.url, ("/a.jpg", "/later.jpg", "/gone.jpg"))))
    source = UrlsSource(path=str(listed))
    run(store, source)
    assert [state for _, state in met(store)] == [
        "stored",
        "refused SERVER_ERROR",
        "refused GONE",
    ]
    web.pages["/new.jpg"] = Page(photo(2))
    listed.write_text(f"{web.url('/new.jpg')}\n{listed.read_text()}")
    with pytest.raises(AlreadyExists):
        run(store, source)  # another list
    asked = len(web.requests)
    made = update(store)
    assert met(store) == [
        (web.url("/new.jpg"), "stored"),
        (web.url("/a.jpg"), "stored"),
        (web.url("/later.jpg"), "stored"),
        (web.url("/gone.jpg"), "refused GONE"),
    ]
    assert isinstance(made.source, UrlsSource)
    assert made.source.count == 4
    assert sorted(r.path for r in web.requests[asked:]) == ["/later.jpg", "/new.jpg", "/robots.txt"]
    assert run(store, source) == made


def test_addresses_that_came_with_the_request(store: Store, web: WebServer) -> None:
    web.pages = {"/a.jpg": Page(photo(0))}
    collect(store, CollectRequest("x", UrlsSource(), urls=(web.url("/a.jpg"),)))
    with pytest.raises(FailedPrecondition, match="came with its request"):
        update(store)


def test_frames_of_videos_from_every_source(store: Store, tmp_path: Path, web: WebServer) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "film.mp4").write_bytes(film())
    with zipfile.ZipFile(tmp_path / "films.zip", "w") as archive:
        archive.writestr("film.mp4", film())
    web.pages = {"/film.mp4": Page(film())}
    urls = UrlsSource()
    sources: dict[str, tuple[Source, tuple[str, ...], str]] = {
        "folder": (FolderSource(path=str(folder)), (), "film.mp4"),
        "zip": (ZipSource(path=str(tmp_path / "films.zip")), (), "film.mp4"),
        "urls": (urls, (web.url("/film.mp4"),), web.url("/film.mp4")),
    }
    contents = set()
    for name, (source, addresses, origin) in sources.items():
        asked = CollectRequest(name, source, urls=addresses, frames_per_video=3)
        made = collect(store, asked)
        found = list(read_items(store, made))
        assert [(i.source, i.origin, i.second) for i in found] == [
            (f"{origin}#t={second:.2f}", origin, second) for second in (0.5, 1.5, 2.5)
        ]
        contents.add(made.content_sha256)
    assert len(contents) == 1  # the same film gives the same frames
    again = refresh(store, refresh_request(store, "collections/folder", FRESH))
    assert (again.revision, again.stored) == (1, 3)


def test_long_items_make_short_pages(store: Store) -> None:
    said = tuple(Comment(owner="fan", text="x" * 3000, time=now()) for _ in range(300))
    items = [Item(state="refused", source=f"{n}", comments=said) for n in range(5)]
    data = b"".join(item.model_dump_json().encode() + b"\n" for item in items)
    store.put(layout.collection_items("x"), data)
    Collection(
        id="x",
        create_time=now(),
        source=FolderSource(path="/p"),
        stored=0,
        duplicates=0,
        skipped=0,
        refused=5,
        content_sha256="",
    ).create(store, layout.collection_manifest("x"), "collections/x")
    pages, token = list[list[str]](), ""
    while not pages or token:
        found, token = list_items(store, "collections/x", 1000, token)
        pages.append([item.source for item in found])
    assert pages == [["0", "1", "2"], ["3", "4"]]
