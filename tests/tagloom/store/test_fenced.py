"""Fencing: what a late owner's writes come to, also between their check and their effect."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tagloom.errors import DataLoss, InvalidArgument
from tagloom.store import PreconditionFailed, Store, open_store
from tagloom.store.fenced import FencedStore, open_fenced
from tagloom.store.lease import LeaseLost, acquire
from tests.faults.naughty import NaughtyStore

LEASE = "leases/operations/trainer/1"
DOCUMENT = "runs/cats/progress.json"


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.minio)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    url = request.getfixturevalue("s3_url") if request.param == "s3" else str(tmp_path / "store")
    return open_store(url)


@pytest.fixture
def owner(store: Store) -> FencedStore:
    return FencedStore(store, LEASE, acquire(store, LEASE, "old", 60).fence)


def take_over(store: Store) -> FencedStore:
    """A newer owner, as after a silent ttl of the old one."""
    document = json.loads(store.get(LEASE))
    store.put(LEASE, json.dumps({**document, "released": True}).encode())
    return FencedStore(store, LEASE, acquire(store, LEASE, "new", 60).fence)


class Overtaken(NaughtyStore):
    """Calls `meanwhile` once, right before the first write of `key`: after every check."""

    def __init__(self, store: Store, key: str, meanwhile: Callable[[], object]) -> None:
        super().__init__(store)
        self._key = key
        self._meanwhile: Callable[[], object] | None = meanwhile

    def put(
        self, key: str, data: bytes, *, if_none_match: bool = False, if_match: str | None = None
    ) -> str:
        if key == self._key and self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            meanwhile()
        return super().put(key, data, if_none_match=if_none_match, if_match=if_match)


def test_owner_writes(owner: FencedStore, store: Store) -> None:
    owner.put("a", b"1")
    owner.put("a", b"2")
    owner.put_fenced_json(DOCUMENT, {"kimg": 1})
    owner.put_fenced_json(DOCUMENT, {"kimg": 2})
    assert store.get("a") == b"2"
    assert json.loads(store.get(DOCUMENT)) == {"kimg": 2, "fence": 1}
    assert owner.fence == 1


@pytest.mark.parametrize("how", ["taken over", "released", "removed"])
def test_late_owner_writes_nothing(
    owner: FencedStore, store: Store, tmp_path: Path, how: str
) -> None:
    etag = owner.put("a", b"1")
    owner.put_fenced_json(DOCUMENT, {"kimg": 1})
    (tmp_path / "file").write_bytes(b"late")
    if how == "taken over":
        take_over(store)
    elif how == "released":
        document = json.loads(store.get(LEASE))
        store.put(LEASE, json.dumps({**document, "released": True}).encode())
    else:
        store.delete(LEASE)
    before = {info.key: info.etag for info in store.iterate()}
    writes: list[Callable[[], Any]] = [
        lambda: owner.put("a", b"late"),
        lambda: owner.put("b", b"late", if_none_match=True),
        lambda: owner.put("a", b"late", if_match=etag),
        lambda: owner.put_file("a", tmp_path / "file"),
        lambda: owner.delete("a"),
        lambda: owner.put_fenced_json(DOCUMENT, {"kimg": 9}),
        lambda: owner.put_fenced_json("new.json", {}),
        owner.check,
    ]
    for write in writes:
        with pytest.raises(LeaseLost) as caught:
            write()
        assert caught.value.reason == "LEASE_LOST"
        assert caught.value.metadata["key"] == LEASE
    assert {info.key: info.etag for info in store.iterate()} == before
    assert owner.get("a") == b"1"


class TestOvertakenBetweenCheckAndEffect:
    def test_document(self, owner: FencedStore, store: Store) -> None:
        owner.put_fenced_json(DOCUMENT, {"kimg": 1})

        def meanwhile() -> None:
            take_over(store).put_fenced_json(DOCUMENT, {"kimg": 1})

        late = FencedStore(Overtaken(store, DOCUMENT, meanwhile), LEASE, owner.fence)
        with pytest.raises(LeaseLost):
            late.put_fenced_json(DOCUMENT, {"kimg": 9})
        assert json.loads(store.get(DOCUMENT)) == {"kimg": 1, "fence": 2}

    def test_new_document(self, owner: FencedStore, store: Store) -> None:
        def meanwhile() -> None:
            take_over(store).put_fenced_json(DOCUMENT, {"kimg": 1})

        late = FencedStore(Overtaken(store, DOCUMENT, meanwhile), LEASE, owner.fence)
        with pytest.raises(LeaseLost):
            late.put_fenced_json(DOCUMENT, {"kimg": 9})
        assert json.loads(store.get(DOCUMENT)) == {"kimg": 1, "fence": 2}

    def test_unconditional_put(self, owner: FencedStore, store: Store) -> None:
        owner.put("a", b"1")

        def meanwhile() -> None:
            take_over(store).put("a", b"newer")

        late = FencedStore(Overtaken(store, "a", meanwhile), LEASE, owner.fence)
        with pytest.raises(LeaseLost):
            late.put("a", b"late")
        assert store.get("a") == b"newer"

    def test_the_newer_owner_writes_last(self, owner: FencedStore, store: Store) -> None:
        """A late write that slips in before the newer owner's first one is overwritten by it."""
        owner.put_fenced_json(DOCUMENT, {"kimg": 1})
        newer: list[FencedStore] = []
        late = FencedStore(
            Overtaken(store, DOCUMENT, lambda: newer.append(take_over(store))), LEASE, owner.fence
        )
        late.put_fenced_json(DOCUMENT, {"kimg": 9})
        newer[0].put_fenced_json(DOCUMENT, {"kimg": 2})
        assert json.loads(store.get(DOCUMENT)) == {"kimg": 2, "fence": 2}
        with pytest.raises(LeaseLost):
            late.put_fenced_json(DOCUMENT, {"kimg": 10})

    def test_exclusive_create_never_replaces(self, owner: FencedStore, store: Store) -> None:
        def meanwhile() -> None:
            take_over(store).put("datasets/cats/manifest.json", b"newer", if_none_match=True)

        late = FencedStore(
            Overtaken(store, "datasets/cats/manifest.json", meanwhile), LEASE, owner.fence
        )
        with pytest.raises(PreconditionFailed):
            late.put("datasets/cats/manifest.json", b"late", if_none_match=True)
        assert store.get("datasets/cats/manifest.json") == b"newer"

    def test_upload_is_reported_afterwards(
        self, owner: FencedStore, store: Store, tmp_path: Path
    ) -> None:
        class TakesOverDuringUpload(NaughtyStore):
            def put_file(self, key: str, path: Path) -> str:
                etag = super().put_file(key, path)
                take_over(store)
                return etag

        (tmp_path / "file").write_bytes(b"late")
        late = FencedStore(TakesOverDuringUpload(store), LEASE, owner.fence)
        with pytest.raises(LeaseLost):
            late.put_file("images/ab/abc", tmp_path / "file")

    def test_own_threads_are_no_strangers(self, owner: FencedStore, store: Store) -> None:
        meanwhile = FencedStore(store, LEASE, owner.fence)
        shared = FencedStore(
            Overtaken(store, "a", lambda: meanwhile.put("a", b"1")), LEASE, owner.fence
        )
        shared.put("a", b"2")
        assert store.get("a") == b"2"


def test_document_without_a_fence_is_taken_under_it(owner: FencedStore, store: Store) -> None:
    store.put(DOCUMENT, b'{"kimg": 1}')
    owner.put_fenced_json(DOCUMENT, {"kimg": 2})
    assert json.loads(store.get(DOCUMENT)) == {"kimg": 2, "fence": 1}


@pytest.mark.parametrize("damaged", [b"", b"{", b"[]", b'{"fence": "2"}', b"\xff"])
def test_damaged_document_is_not_overwritten(
    owner: FencedStore, store: Store, damaged: bytes
) -> None:
    store.put(DOCUMENT, damaged)
    with pytest.raises(DataLoss):
        owner.put_fenced_json(DOCUMENT, {"kimg": 2})
    assert store.get(DOCUMENT) == damaged


@pytest.mark.parametrize("value", [float("nan"), object(), b"bytes"])
def test_document_that_is_no_json(owner: FencedStore, store: Store, value: object) -> None:
    with pytest.raises(InvalidArgument):
        owner.put_fenced_json(DOCUMENT, {"value": value})
    assert not store.exists(DOCUMENT)


def test_reopens_in_another_process(owner: FencedStore, store: Store) -> None:
    for again in (
        open_fenced(owner.url, LEASE, owner.fence),
        pickle.loads(pickle.dumps(owner)),
    ):
        again.put("a", b"1")
    take_over(store)
    with pytest.raises(LeaseLost):
        again.put("a", b"2")
