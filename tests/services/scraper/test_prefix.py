"""Objects of a real S3 server as a source."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.scraper.collect import CollectRequest, collect
from services.scraper.ledger import from_lines
from services.scraper.prefix import allowed_prefixes, check_prefix
from tagloom.artifacts import layout
from tagloom.artifacts.collection import Item, S3Source
from tagloom.errors import (
    Cancelled,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
)
from tagloom.store import Store, open_store


def items(store: Store) -> list[Item]:
    return list(from_lines(store.get(layout.collection_items("x"))))


@pytest.mark.minio
def test_every_object_below_the_prefix(
    s3_url: str, store: Store, jpeg: bytes, png: bytes, minio_user: dict[str, str]
) -> None:
    url = f"{s3_url}/photos"
    bucket = open_store(s3_url)
    for key, data in {
        "photos/a/cat.jpg": jpeg,
        "photos/b.png": png,
        "photos/c again": jpeg,
        "photos/notes.txt": b"no photo",
        "photos/empty.jpg": b"",
        "photosynthesis/leaf.jpg": jpeg + b"1",
    }.items():
        bucket.put(key, data)
    made = collect(store, CollectRequest("x", S3Source(url=url)))
    assert [(i.source, f"{i.state} {i.reason}".strip()) for i in items(store)] == [
        ("a/cat.jpg", "stored"),
        ("b.png", "stored"),
        ("c again", "duplicate"),
        ("empty.jpg", "refused EMPTY_FILE"),
        ("notes.txt", "skipped NOT_A_PHOTO"),
    ]
    assert made.source == S3Source(url=url)
    assert items(store)[0].time is not None
    for secret in (minio_user["MINIO_SECRET_KEY"], minio_user["MINIO_ACCESS_KEY"]):
        for info in store.iterate():
            assert secret.encode() not in store.get(info.key)
    with pytest.raises(FailedPrecondition) as empty:
        collect(store, CollectRequest("y", S3Source(url=f"{s3_url}/nothing")))
    assert empty.value.reason == "PREFIX_EMPTY"
    with pytest.raises((NotFound, PermissionDenied)):
        collect(store, CollectRequest("y", S3Source(url="s3://no-such-bucket/x")))


@pytest.mark.minio
def test_the_store_itself_is_left_out(s3_url: str, jpeg: bytes) -> None:
    store = open_store(f"{s3_url}/tagloom")
    store.put("images/00/11", jpeg)
    open_store(s3_url).put("photos/a.jpg", jpeg)
    collect(store, CollectRequest("x", S3Source(url=s3_url)))
    assert {i.source: i.state for i in items(store)}["photos/a.jpg"] == "stored"
    assert {i.reason for i in items(store) if i.source.startswith("tagloom/")} == {"OBJECT_STORE"}
    for url in (f"{s3_url}/tagloom", f"{s3_url}/tagloom/images"):
        with pytest.raises(InvalidArgument) as caught:
            collect(store, CollectRequest("y", S3Source(url=url)))
        assert caught.value.reason == "S3_SOURCE_IS_STORE"


@pytest.mark.minio
def test_stopped_it_reads_nothing_twice(s3_url: str, store: Store, jpeg: bytes) -> None:
    source = open_store(s3_url)
    for number in range(150):
        source.put(f"{number:03}.jpg", jpeg + bytes([number]))

    def stop(phase: str, done: int, total: int, message: str = "") -> None:
        if phase == "collect" and done >= 64:
            raise Cancelled("Stop.", reason="CANCELLED")

    with pytest.raises(Cancelled):
        collect(store, CollectRequest("x", S3Source(url=s3_url)), stop)
    source.delete("000.jpg")  # it was read already
    said: list[int] = []
    made = collect(
        store, CollectRequest("x", S3Source(url=s3_url)), lambda p, d, t, m="": said.append(d)
    )
    assert made.stored == 150
    assert said[1] == 63  # of the 149 that are there


def test_what_a_server_may_collect_from(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    assert allowed_prefixes({}, loopback=True) is None
    assert allowed_prefixes({}, loopback=False) == ()
    roots = allowed_prefixes({"TAGLOOM_S3_SOURCES": "s3://a s3://b/photos/"}, loopback=False)
    assert roots == ("s3://a", "s3://b/photos")
    for url in ("s3://a", "s3://a/x", "s3://b/photos", "s3://b/photos/x"):
        check_prefix(store, url, roots)
    for url in ("s3://ab", "s3://b", "s3://b/photosynthesis", "s3://c"):
        with pytest.raises(PermissionDenied) as caught:
            check_prefix(store, url, roots)
        assert caught.value.reason == "S3_SOURCE_NOT_ALLOWED"
    with pytest.raises(InvalidArgument):
        allowed_prefixes({"TAGLOOM_S3_SOURCES": "/photos"}, loopback=True)
