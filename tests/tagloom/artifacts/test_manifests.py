"""Manifests: written once, read back equal, damaged ones named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.collection import Collection, FolderSource, HashtagSource, content_hash
from tagloom.errors import AlreadyExists, DataLoss, NotFound
from tagloom.store import open_store


def collection(source: FolderSource | HashtagSource) -> Collection:
    return Collection(
        id="cats",
        create_time=now(),
        source=source,
        stored=1,
        duplicates=0,
        skipped=0,
        refused=0,
        content_sha256=content_hash(["ab"]),
    )


@pytest.mark.parametrize("source", [FolderSource(path="photos"), HashtagSource(hashtag="cats")])
def test_a_manifest_is_read_back_equal(
    tmp_path: Path, source: FolderSource | HashtagSource
) -> None:
    store = open_store(str(tmp_path))
    key = layout.collection_manifest("cats")
    written = collection(source)
    written.create(store, key, "collections/cats")
    assert Collection.load(store, key, "collections/cats") == written
    assert b'"schema": 1' in store.get(key)


def test_a_manifest_is_never_written_over(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    key = layout.collection_manifest("cats")
    first = collection(FolderSource(path="one"))
    first.create(store, key, "collections/cats")
    with pytest.raises(AlreadyExists, match="collections/cats exists already"):
        collection(FolderSource(path="two")).create(store, key, "collections/cats")
    assert Collection.load(store, key, "collections/cats") == first


def test_a_missing_resource_is_named(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    with pytest.raises(NotFound, match=r"no collections/dogs; `tagloom ls collections` lists"):
        Collection.load(store, layout.collection_manifest("dogs"), "collections/dogs")


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"{}", b'{"schema": 2}', b"\xff\xfe", b'{"schema": 1, "id": 7}']
)
def test_a_damaged_document_is_named(data: bytes) -> None:
    with pytest.raises(DataLoss, match=r"collections/x/manifest.json is damaged"):
        Collection.from_bytes(data, "collections/x/manifest.json")


def test_fields_of_newer_writers_are_ignored() -> None:
    data = collection(FolderSource(path="p")).to_bytes()
    newer = data.replace(b'"schema": 1,', b'"schema": 1, "color": "blue",')
    assert newer != data
    assert Collection.from_bytes(newer, "k") == Collection.from_bytes(data, "k")


@given(st.lists(st.text("0123456789abcdef", min_size=4, max_size=4)))
def test_a_content_hash_depends_on_the_set_alone(hashes: list[str]) -> None:
    assert content_hash(hashes) == content_hash(reversed(hashes + hashes))
    assert content_hash(hashes) != content_hash([*hashes, "other"])
