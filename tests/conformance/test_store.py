"""One suite for every store: a local folder, S3 (a real MinIO), and either behind a fence."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import random
import threading
import tracemalloc
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tagloom.errors import Conflict, InvalidArgument
from tagloom.store import InvalidKey, ObjectNotFound, PreconditionFailed, Store, open_store
from tagloom.store.keys import is_key
from tests.conformance.racers import count_up, create, in_processes, in_threads
from tests.plugins.minio_server import MinioServer

KEY = "collections/cats/manifest.json"
MIB = 1 << 20


def listed(store: Store, prefix: str = "") -> list[str]:
    return [info.key for info in store.iterate(prefix) if not info.key.startswith("leases/")]


class TestOneObject:
    def test_reads_back_what_was_written(self, store: Store) -> None:
        store.put(KEY, b"first")
        assert store.get(KEY) == b"first"
        store.put(KEY, b"second")
        assert store.get(KEY) == b"second"

    def test_empty_object(self, store: Store, tmp_path: Path) -> None:
        store.put(KEY, b"")
        assert store.get(KEY) == b""
        assert store.get(KEY, length=5) == b""
        assert store.head(KEY).size == 0
        with store.open(KEY) as stream:
            assert stream.read() == b""
        store.get_file(KEY, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == b""
        store.put_file("other", tmp_path / "copy")
        assert store.get("other") == b""

    def test_etag_is_the_same_wherever_it_is_told(self, store: Store) -> None:
        etag = store.put(KEY, b"bytes")
        assert store.get_with_etag(KEY) == (b"bytes", etag)
        assert store.head(KEY).etag == etag
        assert store.list(KEY).objects[0].etag == etag

    def test_etag_follows_the_bytes(self, store: Store) -> None:
        first = store.put(KEY, b"one")
        second = store.put(KEY, b"two")
        assert second != first
        assert store.put(KEY, b"one") == first

    def test_head_tells_size_and_time(self, store: Store) -> None:
        store.put(KEY, b"x" * 1234)
        info = store.head(KEY)
        assert (info.key, info.size) == (KEY, 1234)
        assert info.modified.tzinfo is UTC
        assert abs(info.modified - datetime.now(UTC)) < timedelta(minutes=1)

    def test_missing_object(self, store: Store, tmp_path: Path) -> None:
        store.put("collections/cats/other.json", b"")
        readers: list[Callable[[], object]] = [
            lambda: store.get(KEY),
            lambda: store.get(KEY, start=1, length=1),
            lambda: store.get(KEY, length=0),
            lambda: store.get_with_etag(KEY),
            lambda: store.head(KEY),
            lambda: store.open(KEY),
            lambda: store.get_file(KEY, tmp_path / "copy"),
            lambda: store.get("collections/cats"),
            lambda: store.get("no/such/folder"),
        ]
        for read in readers:
            with pytest.raises(ObjectNotFound):
                read()
        assert list(tmp_path.glob("*copy*")) == []
        assert not store.exists(KEY)

    def test_delete(self, store: Store) -> None:
        store.put(KEY, b"x")
        store.delete(KEY)
        assert not store.exists(KEY)
        assert listed(store) == []
        store.delete(KEY)
        store.delete("collections")
        store.put(KEY, b"again", if_none_match=True)
        assert store.get(KEY) == b"again"

    def test_delete_of_a_folder_removes_nothing(self, store: Store) -> None:
        store.put(KEY, b"x")
        store.delete("collections")
        assert store.get(KEY) == b"x"

    def test_name_of_an_emptied_folder_is_free(self, store: Store) -> None:
        store.put("a/b/c", b"deep")
        store.delete("a/b/c")
        store.put("a", b"flat", if_none_match=True)
        assert listed(store) == ["a"]


class TestRanges:
    DATA = bytes(range(256)) * 16

    @pytest.mark.parametrize(
        ("start", "length"),
        [(0, None), (0, 1), (1, 100), (4095, 1), (4090, 100), (4096, None), (4096, 5), (9, 0)],
    )
    def test_inside(self, store: Store, start: int, length: int | None) -> None:
        store.put(KEY, self.DATA)
        end = None if length is None else start + length
        assert store.get(KEY, start=start, length=length) == self.DATA[start:end]

    @pytest.mark.parametrize(("start", "length"), [(4097, None), (4097, 1), (-1, None), (0, -1)])
    def test_outside(self, store: Store, start: int, length: int | None) -> None:
        store.put(KEY, self.DATA)
        with pytest.raises(InvalidArgument) as caught:
            store.get(KEY, start=start, length=length)
        assert caught.value.reason == "RANGE_OUT_OF_BOUNDS"

    def test_stream_seeks_and_reads(self, store: Store) -> None:
        data = random.Random(1).randbytes(3 * MIB + 17)
        store.put(KEY, data)
        with store.open(KEY) as stream:
            assert stream.seekable()
            assert stream.read(10) == data[:10]
            assert stream.seek(-7, io.SEEK_END) == len(data) - 7
            assert stream.read() == data[-7:]
            assert stream.read() == b""
            stream.seek(MIB - 3)
            assert stream.read(2 * MIB) == data[MIB - 3 : 3 * MIB - 3]
            stream.seek(len(data) + 5)
            assert stream.read(1) == b""

    def test_zip_is_read_in_place(self, store: Store) -> None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for index in range(50):
                archive.writestr(f"{index:05}.png", random.Random(index).randbytes(5000))
        store.put("datasets/cats/images.zip", packed.getvalue())
        with store.open("datasets/cats/images.zip") as stream, zipfile.ZipFile(stream) as archive:
            assert archive.testzip() is None
            assert archive.read("00041.png") == random.Random(41).randbytes(5000)

    def test_stream_never_mixes_two_versions(self, store: Store) -> None:
        store.put(KEY, b"a" * 4 * MIB)
        with store.open(KEY) as stream:
            assert stream.read(10) == b"a" * 10
            store.put(KEY, b"b" * 4 * MIB)
            stream.seek(0)
            try:
                rest = stream.read()
            except Conflict as error:
                rest, reason = b"a", error.reason
                assert reason == "OBJECT_REPLACED"
            assert set(rest) == {ord("a")}


class TestPreconditions:
    def test_create_is_exclusive(self, store: Store) -> None:
        store.put(KEY, b"first", if_none_match=True)
        with pytest.raises(PreconditionFailed):
            store.put(KEY, b"second", if_none_match=True)
        assert store.get(KEY) == b"first"

    def test_swap(self, store: Store) -> None:
        first = store.put(KEY, b"first")
        second = store.put(KEY, b"second", if_match=first)
        with pytest.raises(PreconditionFailed):
            store.put(KEY, b"third", if_match=first)
        assert store.get_with_etag(KEY) == (b"second", second)

    def test_swap_of_what_is_not_there(self, store: Store) -> None:
        etag = store.put("other", b"x")
        with pytest.raises(PreconditionFailed):
            store.put(KEY, b"x", if_match=etag)
        assert not store.exists(KEY)

    def test_swap_after_deletion(self, store: Store) -> None:
        etag = store.put(KEY, b"x")
        store.delete(KEY)
        with pytest.raises(PreconditionFailed):
            store.put(KEY, b"y", if_match=etag)

    def test_both_contradict_each_other(self, store: Store) -> None:
        with pytest.raises(InvalidArgument) as caught:
            store.put(KEY, b"x", if_none_match=True, if_match="e")
        assert caught.value.reason == "PRECONDITIONS_CONTRADICT"


class TestRaces:
    @pytest.mark.parametrize("turn", range(3))
    def test_64_threads_create_and_one_wins(self, store: Store, turn: int) -> None:
        won = in_threads(64, lambda who: create(store, KEY, who))
        assert won.count(True) == 1
        assert store.get(KEY) == f"writer {won.index(True)}".encode()

    def test_64_creates_from_4_processes_and_one_wins(self, url: str) -> None:
        won = in_processes("create", url, KEY, processes=4, threads=16)
        assert len(won) == 64
        assert won.count(True) == 1
        assert open_store(url).get(KEY) == f"writer {won.index(True)}".encode()

    def test_counter_in_threads_loses_nothing(self, store: Store) -> None:
        store.put(KEY, b'{"n": 0}')
        lost = in_threads(8, lambda _: count_up(store, KEY, 10))
        assert json.loads(store.get(KEY)) == {"n": 80}
        assert any(lost), "nobody ever lost a race: there was none"

    def test_counter_in_processes_loses_nothing(self, url: str) -> None:
        store = open_store(url)
        store.put(KEY, b'{"n": 0}')
        in_processes("count", url, KEY, processes=3, threads=2)
        assert json.loads(store.get(KEY)) == {"n": 30}

    def test_readers_never_see_a_part(self, store: Store) -> None:
        sizes = {ord("a"): 300_001, ord("b"): 70_003}
        done = threading.Event()
        store.put(KEY, b"a" * 300_001)

        def write() -> None:
            try:
                for turn in range(20):
                    letter = "ba"[turn % 2].encode()
                    store.put(KEY, letter * sizes[letter[0]])
            finally:
                done.set()

        seen = set()
        writer = threading.Thread(target=write)
        writer.start()
        while not done.is_set():
            data = store.get(KEY)
            assert len(data) == sizes[data[0]]
            assert data.count(data[:1]) == len(data)
            seen.add(data[0])
        writer.join()
        assert seen

    def test_writers_and_deleters_in_one_folder(self, store: Store) -> None:
        def work(who: int) -> None:
            for _ in range(10):
                store.put(f"shared/folder/{who}", b"x")
                store.delete(f"shared/folder/{who}")

        in_threads(8, work)
        assert listed(store) == []


class TestFiles:
    def test_large_object(self, store: Store, tmp_path: Path) -> None:
        """64 MiB and a bit: several parts on S3; never in memory as a whole."""
        block = random.Random(2).randbytes(MIB)
        digest = hashlib.sha256()
        with (tmp_path / "large").open("wb") as file:
            for index in range(64):
                part = index.to_bytes(4, "big") + block
                file.write(part)
                digest.update(part)
        size = (tmp_path / "large").stat().st_size
        assert size > 64 * MIB
        tracemalloc.start()
        try:
            etag = store.put_file(KEY, tmp_path / "large")
            store.get_file(KEY, tmp_path / "copy")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < size * 3 / 4, f"{peak / MIB:.0f} MiB of memory for {size / MIB:.0f} MiB"
        with (tmp_path / "copy").open("rb") as file:
            assert hashlib.file_digest(file, "sha256").digest() == digest.digest()
        assert store.head(KEY).size == size
        assert store.head(KEY).etag == etag
        assert store.get(KEY, start=40 * (MIB + 4), length=4) == (40).to_bytes(4, "big")
        store.put(KEY, b"small", if_match=etag)
        assert store.get(KEY) == b"small"

    def test_file_that_is_not_there(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(InvalidArgument) as caught:
            store.put_file(KEY, tmp_path / "missing")
        assert caught.value.reason == "FILE_UNUSABLE"
        assert str(tmp_path / "missing") in caught.value.message
        with pytest.raises(InvalidArgument):
            store.put_file(KEY, tmp_path)
        assert not store.exists(KEY)

    def test_target_that_cannot_be(self, store: Store, tmp_path: Path) -> None:
        store.put(KEY, b"x")
        with pytest.raises(InvalidArgument) as caught:
            store.get_file(KEY, tmp_path / "no folder" / "copy")
        assert caught.value.reason == "FILE_UNUSABLE"

    def test_target_is_replaced(self, store: Store, tmp_path: Path) -> None:
        store.put(KEY, b"new")
        (tmp_path / "copy").write_bytes(b"much older")
        store.get_file(KEY, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == b"new"
        assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


class TestListing:
    # Byte order: '!' < '-' < '.' < '/' < '0' < 'A' < 'a' < 'é'
    POPULATION = (
        "a!",
        "a-b/c",
        "a.b",
        "a/b",
        "a/c/d",
        "a/c/e",
        "a0",
        "aB",
        "aa",
        "z/aé",
        "z/z",
        "é",
        "\U0001f600",
    )

    @pytest.fixture
    def full(self, store: Store) -> Store:
        for key in random.Random(3).sample(self.POPULATION, len(self.POPULATION)):
            store.put(key, key.encode())
        return store

    def test_byte_order(self, full: Store) -> None:
        assert listed(full) == sorted(self.POPULATION, key=str.encode)
        sizes = {info.key: info.size for info in full.iterate("a")}
        assert all(size == len(key.encode()) for key, size in sizes.items())

    def test_prefix_may_end_anywhere(self, full: Store) -> None:
        for prefix in ("a", "a-", "a/", "a/c", "a/c/", "a/c/d", "z/a", "é", "no"):
            expected = [key for key in self.POPULATION if key.startswith(prefix)]
            assert listed(full, prefix) == sorted(expected, key=str.encode), prefix

    def test_pages_are_complete_and_disjoint(self, full: Store) -> None:
        for limit in (1, 2, 5, 12, 13, 14, 1000):
            found: list[str] = []
            after: str | None = ""
            while after is not None:
                page = full.list("", after=after, limit=limit)
                assert 0 < len(page.objects) <= limit, "an empty page was announced"
                found += [info.key for info in page.objects]
                after = page.next_after
            keys = [key for key in found if not key.startswith("leases/")]
            assert keys == sorted(self.POPULATION, key=str.encode), limit

    def test_after_need_not_exist(self, full: Store) -> None:
        for after in ("a", "a-b", "a-b/c", "a/", "a/c", "a/c/d", "a/c/zzz", "zz"):
            expected = [key for key in self.POPULATION if key.encode() > after.encode()]
            found = [info.key for info in full.list("", after=after).objects]
            keys = [key for key in found if not key.startswith("leases/")]
            assert keys == sorted(expected, key=str.encode), after

    def test_empty_store(self, store: Store) -> None:
        page = store.list("x/")
        assert (page.objects, page.next_after) == ([], None)

    def test_no_page_without_room(self, store: Store) -> None:
        with pytest.raises(InvalidArgument) as caught:
            store.list(limit=0)
        assert caught.value.reason == "PAGE_SIZE_INVALID"

    def test_more_than_one_of_s3s_pages(self, url: str) -> None:
        store = open_store(url)
        keys = [f"images/{index % 16:02x}/{index:04}" for index in range(1030)]
        in_threads(8, lambda who: [store.put(key, b"") for key in keys[who::8]])
        first = store.list("images/")
        assert len(first.objects) == 1000
        second = store.list("images/", after=first.next_after or "")
        assert second.next_after is None
        assert [info.key for info in first.objects + second.objects] == sorted(keys)


ODD_KEYS = [
    "with space",
    " leading and trailing ",
    "percent%41%",
    "plus+and&amp;=;?x=1#h",
    "star*?<>|:\"'",
    "quote'; DROP TABLE",
    "tilde~",
    "ümlaut/naïve/名前/кот",
    "e\u0301-decomposed",
    "\u00e9-composed",
    "emoji-\U0001f600",
    "noncharacter-\ufffe\ufdd0",
    "rtl-\u202eabc",
    "x" * 255,
    "é" * 127,
    "/".join(["deep"] * 150),
    "s" * 200 + "/" + "t" * 200 + "/" + "u" * 200 + "/" + "v" * 200,
    "trailing.",
    "trailing /x",
    "-rf",
    "NUL",
    "xl.meta/part.1",
    "a..b",
]
BAD_KEYS = [
    "",
    "/absolute",
    "trailing/",
    "double//slash",
    ".",
    "..",
    "../outside",
    "a/../b",
    "a/./b",
    ".hidden",
    "a/.tagloom/b",
    "back\\slash",
    "new\nline",
    "nul\0",
    "del\x7f",
    "lone\ud800surrogate",
    "x" * 256,
    "é" * 128,
    "/".join(["x" * 250] * 5),
]


class TestKeys:
    def test_odd_keys(self, store: Store) -> None:
        for key in ODD_KEYS:
            etag = store.put(key, key.encode(), if_none_match=True)
            assert store.get_with_etag(key) == (key.encode(), etag)
            assert store.get(key, start=1, length=2) == key.encode()[1:3]
            assert store.head(key).key == key
            assert listed(store) == [key]
            assert listed(store, key) == [key]
            store.delete(key)
            assert listed(store) == []

    def test_odd_keys_do_not_meet(self, store: Store) -> None:
        for key in ODD_KEYS:
            store.put(key, key.encode(), if_none_match=True)
        assert listed(store) == sorted(ODD_KEYS, key=str.encode)
        assert all(store.get(key) == key.encode() for key in ODD_KEYS)

    def test_bad_keys(self, store: Store, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_bytes(b"x")
        calls: list[Callable[[str], object]] = [
            store.get,
            store.get_with_etag,
            store.head,
            store.exists,
            store.open,
            lambda key: store.put(key, b""),
            lambda key: store.put(key, b"", if_none_match=True),
            lambda key: store.put_file(key, file),
            lambda key: store.get_file(key, tmp_path / "copy"),
            store.delete,
        ]
        for key in BAD_KEYS:
            for call in calls:
                with pytest.raises(InvalidKey) as caught:
                    call(key)
                assert caught.value.reason == "INVALID_KEY"
                caught.value.message.encode()  # can be printed and sent
        assert listed(store) == []

    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
    )
    @given(key=st.text(min_size=1, max_size=40).filter(is_key))
    def test_any_valid_key(self, url: str, key: str) -> None:
        store = open_store(url)
        store.put(key, b"x", if_none_match=True)
        try:
            assert listed(store) == [key]
            assert store.get(key) == b"x"
        finally:
            store.delete(key)


class TestElsewhere:
    def test_reopens_by_url(self, store: Store) -> None:
        store.put(KEY, b"x")
        again = open_store(store.url, create=False)
        assert again.get(KEY) == b"x"
        assert again.url == store.url

    def test_pickles_without_secrets(self, store: Store) -> None:
        store.put(KEY, b"x")
        pickled = pickle.dumps(store)
        assert MinioServer.SECRET_KEY.encode() not in pickled
        again = pickle.loads(pickled)
        assert type(again) is type(store)
        assert again.get(KEY) == b"x"
