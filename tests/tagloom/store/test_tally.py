"""Requests to real stores are counted: how many, how long, and those that the store failed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from minio_server import MinioServer

from tagloom.errors import FailedPrecondition, TagloomError, Unavailable
from tagloom.store import ObjectNotFound, PreconditionFailed, Store, open_store
from tagloom.store.s3 import S3Store
from tagloom.store.s3_client import Settings
from tagloom.store.tally import BUCKETS_S, REQUESTS, TALLY, Counted, Tally


@pytest.fixture(autouse=True)
def fresh_tally() -> None:
    TALLY.take()


def requests(counted: Counted) -> dict[str, int]:
    return {name: sum(timing.counts) for name, timing in counted.timings.items()}


def use(store: Store, path: Path) -> None:
    """Each request once, and some that the store answers with a no."""
    etag = store.put("a/k", b"12345")
    with pytest.raises(PreconditionFailed):
        store.put("a/k", b"other", if_none_match=True)
    store.put("a/k", b"67890", if_match=etag)
    store.get("a/k", start=1, length=2)
    store.get_with_etag("a/k")
    with pytest.raises(ObjectNotFound):
        store.get("a/nothing")
    store.head("a/k")
    assert not store.exists("a/nothing")
    store.get_file("a/k", path)
    store.put_file("a/f", path)
    list(store.iterate("a/"))
    store.delete("a/k")


def test_a_local_store_counts_each_request_once(tmp_path: Path) -> None:
    started = time.perf_counter()
    use(open_store(str(tmp_path / "store")), tmp_path / "file")
    counted = TALLY.take()
    assert requests(counted) == {
        "put": 3, "get": 4, "head": 2, "put_file": 1, "list": 1, "delete": 1,
    }  # fmt: skip
    assert set(counted.timings) == set(REQUESTS)
    assert counted.failures == {}, "a missing object is an answer"
    seconds = sum(timing.seconds for timing in counted.timings.values())
    assert 0 < seconds < time.perf_counter() - started
    assert not TALLY.take(), "taken is taken"


def test_a_local_store_that_fails_is_counted_as_failing(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    store.put("k", b"1")
    (tmp_path / "store").rename(tmp_path / "away")
    (tmp_path / "store").write_text("a file where the folder was")
    TALLY.take()
    with pytest.raises(TagloomError):
        store.put("k", b"2")
    ((request, _),) = TALLY.read().failures
    assert request == "put"
    assert requests(TALLY.take()) == {"put": 1}, "a failed request is among the requests"


@pytest.mark.minio
def test_an_s3_store_counts_what_it_asks_the_server_for(s3_url: str, tmp_path: Path) -> None:
    store = open_store(s3_url)
    assert requests(TALLY.take()) == {"head": 1}, "is there a bucket?"
    use(store, tmp_path / "file")
    counted = TALLY.take()
    # Downloading a file is a head and a get for each part.
    assert requests(counted) == {
        "put": 3, "get": 4, "head": 3, "put_file": 1, "list": 1, "delete": 1,
    }  # fmt: skip
    assert (counted.failures, counted.retries) == ({}, 0)


@pytest.mark.minio
def test_a_dead_s3_server_is_counted_with_each_repetition(own_minio: MinioServer) -> None:
    settings = Settings.from_environment(own_minio.environment)
    store = S3Store("bucket", "", settings, create=True)
    own_minio.kill()
    TALLY.take()
    with pytest.raises(Unavailable):
        store.put("k", b"1")
    counted = TALLY.take()
    assert requests(counted) == {"put": 1}
    assert counted.failures == {("put", "unavailable"): 1}
    assert counted.retries == settings.attempts - 1


def test_faults_have_names_of_their_own_and_mistakes_of_callers_none() -> None:
    tally = Tally()
    for error in (
        Unavailable("It is so.", reason="STORE_UNAVAILABLE"),
        FailedPrecondition("It is so.", reason="STORE_CLOCK_SKEW"),
        FailedPrecondition("It is so.", reason="KEY_CONFLICT"),
        ZeroDivisionError(),
    ):
        with pytest.raises(type(error)), tally.timed("get"):
            raise error
    assert tally.read().failures == {("get", "unavailable"): 1, ("get", "refused"): 2}


def test_numbers_of_several_processes_add_up() -> None:
    one, two = Tally(), Tally()
    with one.timed("get"):
        pass
    with pytest.raises(ZeroDivisionError), two.timed("get"):
        raise ZeroDivisionError
    two.retried()
    before = one.read()
    one.add(two.take())
    after = one.read()
    assert requests(before) == {"get": 1}, "a copy stays as it was"
    assert requests(after) == {"get": 2}
    assert len(after.timings["get"].counts) == len(BUCKETS_S) + 1
    assert (after.failures, after.retries) == ({("get", "refused"): 1}, 1)
    assert not two.read()
