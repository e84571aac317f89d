"""Any sequence of calls gives what a dictionary would give: a model for every kind of store."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tagloom.store import ObjectNotFound, PreconditionFailed, Store, open_store

# No key is a folder of another: that is the contract.
KEYS = [
    "a",
    "a-b",
    "a.b",
    "b/a",
    "b/b/a",
    "b/b/b",
    "b0",
    "c/ü/名",
    "c/u",
    "z z/%41",
]
keys = st.sampled_from(KEYS)
payloads = st.binary(max_size=20)
prefixes = st.sampled_from(["", "a", "a-", "b", "b/", "b/b", "b/b/", "c/ü", "z", "nothing"])
marks = st.sampled_from(["", *KEYS, "a!", "b/", "b/b", "c", "~"])


class StoreAgainstDictionary(RuleBasedStateMachine):
    """One run over one empty store."""

    etags = Bundle("etags")

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.model: dict[str, bytes] = {}
        self.written: dict[str, tuple[str, bytes]] = {}

    def known(self, key: str, etag: str, data: bytes) -> tuple[str, str]:
        # Equal ETags of one key mean equal bytes, whenever they were written.
        there = self.written.setdefault(f"{key}\0{etag}", (key, data))
        assert there == (key, data)
        return key, etag

    @rule(target=etags, key=keys, data=payloads)
    def put(self, key: str, data: bytes) -> tuple[str, str]:
        etag = self.store.put(key, data)
        self.model[key] = data
        return self.known(key, etag, data)

    @rule(target=etags, key=keys, data=payloads)
    def create(self, key: str, data: bytes) -> object:
        try:
            etag = self.store.put(key, data, if_none_match=True)
        except PreconditionFailed:
            assert key in self.model
            return multiple()
        assert key not in self.model
        self.model[key] = data
        return self.known(key, etag, data)

    @rule(target=etags, seen=etags, data=payloads)
    def swap(self, seen: tuple[str, str], data: bytes) -> object:
        key, etag = seen
        current = self.model.get(key)
        expected = self.written[f"{key}\0{etag}"][1]
        try:
            new = self.store.put(key, data, if_match=etag)
        except PreconditionFailed:
            assert current != expected
            return multiple()
        assert current == expected
        self.model[key] = data
        return self.known(key, new, data)

    @rule(target=etags, key=keys, data=payloads)
    def put_file(self, key: str, data: bytes) -> tuple[str, str]:
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            etag = self.store.put_file(key, Path(file.name))
        self.model[key] = data
        return self.known(key, etag, data)

    @rule(key=keys)
    def delete(self, key: str) -> None:
        self.store.delete(key)
        self.model.pop(key, None)

    @rule(key=keys)
    def read(self, key: str) -> None:
        try:
            data, etag = self.store.get_with_etag(key)
        except ObjectNotFound:
            assert key not in self.model
            return
        assert data == self.model[key]
        self.known(key, etag, data)
        info = self.store.head(key)
        assert (info.size, info.etag) == (len(data), etag)

    @rule(key=keys, start=st.integers(0, 20), length=st.none() | st.integers(0, 20))
    def read_range(self, key: str, start: int, length: int | None) -> None:
        data = self.model.get(key)
        if data is None or start > len(data):
            return
        end = None if length is None else start + length
        assert self.store.get(key, start=start, length=length) == data[start:end]

    @rule(prefix=prefixes, after=marks, limit=st.integers(1, 12))
    def page(self, prefix: str, after: str, limit: int) -> None:
        wanted = sorted(
            (key for key in self.model if key.startswith(prefix) and key.encode() > after.encode()),
            key=str.encode,
        )
        page = self.store.list(prefix, after=after, limit=limit)
        assert [info.key for info in page.objects] == wanted[:limit]
        assert page.next_after == (wanted[limit - 1] if len(wanted) > limit else None)

    @invariant()
    def lists_what_is_there(self) -> None:
        found = {info.key: info.size for info in self.store.iterate()}
        assert found == {key: len(data) for key, data in self.model.items()}


@pytest.mark.parametrize("kind", ["local", pytest.param("s3", marks=pytest.mark.minio)])
def test_store_behaves_like_a_dictionary(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = request.getfixturevalue("s3_url") if kind == "s3" else str(tmp_path)

    def fresh() -> StoreAgainstDictionary:
        return StoreAgainstDictionary(open_store(f"{root}/{uuid.uuid4().hex}"))

    run_state_machine_as_test(
        fresh,
        settings=settings(
            max_examples=40 if kind == "local" else 12,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
