"""kill -9 in the middle of writing, and a server that dies: nothing torn, nothing lost."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tagloom.errors import Unavailable
from tagloom.store import open_store
from tagloom.store.s3 import S3Store
from tagloom.store.s3_client import Settings
from tests.plugins.minio_server import MinioServer

# Each object names its own SHA-256, so that a reader can tell a torn one; "done" is what the
# writer was told is durable.
WRITER = textwrap.dedent(
    """
    import hashlib, random, sys
    from tagloom.store import open_store

    store = open_store(sys.argv[1])
    generator = random.Random(int(sys.argv[2]))
    etag = None
    for turn in range(10**9):
        body = generator.randbytes(generator.choice([10, 5_000, 300_000]))
        data = hashlib.sha256(body).digest() + body
        key = f"objects/{generator.randrange(20)}"
        store.put(key, data)
        print("put", key, hashlib.sha256(data).hexdigest(), flush=True)
        store.put(f"created/{sys.argv[2]}/{turn}", data, if_none_match=True)
        print("put", f"created/{sys.argv[2]}/{turn}", hashlib.sha256(data).hexdigest(), flush=True)
        etag = store.put("swapped", data, if_match=etag) if etag else store.put("swapped", data)
        print("put", "swapped", hashlib.sha256(data).hexdigest(), flush=True)
        if turn % 3 == 0:
            store.delete(key)
            print("delete", key, "-", flush=True)
    """
)


def kill_while_writing(folder: Path, turns: int) -> None:
    script = folder / "writer.py"
    script.write_text(WRITER)
    root = folder / "store"
    last: dict[str, str] = {}
    chance = random.Random(turns)
    for turn in range(turns):
        writer = subprocess.Popen(
            [sys.executable, str(script), str(root), str(turn)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        first = writer.stdout.readline()
        assert first, "the writer died by itself"
        time.sleep(chance.uniform(0, 0.15))
        writer.kill()
        told = [first, *writer.stdout]
        assert writer.wait() == -9
        writer.stdout.close()
        for line in told:
            if line.endswith("\n"):  # the kill may cut the report itself, too
                action, key, digest = line.split()
                last[key] = digest if action == "put" else "-"

        store = open_store(str(root))
        listed = {info.key: info for info in store.iterate()}
        for key, info in listed.items():
            assert key.split("/")[0] in ("objects", "created", "swapped"), f"stray {key}"
            data, etag = store.get_with_etag(key)
            assert hashlib.sha256(data[32:]).digest() == data[:32], f"{key} is torn"
            assert (info.etag, info.size) == (etag, len(data))
        # One step may have been done and not told; everything before it is as told.
        wrong = [
            key
            for key, digest in last.items()
            if (hashlib.sha256(store.get(key)).hexdigest() if key in listed else "-") != digest
        ]
        assert len(wrong) <= 1, f"{wrong} were told to be durable and are not"
        for key in wrong:
            last[key] = hashlib.sha256(store.get(key)).hexdigest() if key in listed else "-"
    assert len(last) > turns


def test_killed_writer_leaves_no_torn_object(tmp_path: Path) -> None:
    kill_while_writing(tmp_path, turns=6)


@pytest.mark.long
def test_killed_writer_leaves_no_torn_object_many_times(tmp_path: Path) -> None:
    kill_while_writing(tmp_path, turns=300)


@pytest.mark.minio
class TestServerDies:
    @pytest.fixture
    def store(self, own_minio: MinioServer) -> S3Store:
        settings = Settings.from_environment(own_minio.environment)
        return S3Store("bucket", "", replace(settings, attempts=2), create=True)

    def test_in_the_middle_of_a_put(self, own_minio: MinioServer, store: S3Store) -> None:
        old = store.put("key", b"old" * 1000)
        for delay_s in (0.0, 0.02, 0.1):
            outcome: list[BaseException | str] = []

            def write(outcome: list[BaseException | str] = outcome) -> None:
                try:
                    outcome.append(store.put("key", b"n" * 100_000_000, if_match=old))
                except BaseException as error:
                    outcome.append(error)

            writer = threading.Thread(target=write)
            writer.start()
            time.sleep(delay_s)
            own_minio.kill()
            writer.join(60)
            assert isinstance(outcome[0], Unavailable), outcome
            assert outcome[0].reason == "STORE_UNAVAILABLE"
            assert own_minio.endpoint in outcome[0].message
            assert MinioServer.SECRET_KEY not in str(outcome[0])
            own_minio.start()
            assert store.get_with_etag("key") == (b"old" * 1000, old)
            assert [info.key for info in store.iterate()] == ["key"]

    def test_in_the_middle_of_an_upload(
        self, own_minio: MinioServer, store: S3Store, tmp_path: Path
    ) -> None:
        old = store.put("key", b"old")
        (tmp_path / "file").write_bytes(b"0123456789abcdef" * (12 << 20))
        outcome: list[BaseException | str] = []

        def write() -> None:
            try:
                outcome.append(store.put_file("key", tmp_path / "file"))
            except BaseException as error:
                outcome.append(error)

        writer = threading.Thread(target=write)
        writer.start()
        time.sleep(0.15)
        own_minio.kill()
        writer.join(60)
        assert isinstance(outcome[0], Unavailable), outcome
        own_minio.start()
        assert store.get_with_etag("key") == (b"old", old)
        assert [info.key for info in store.iterate()] == ["key"]

    def test_comes_back_while_we_try(self, own_minio: MinioServer) -> None:
        settings = Settings.from_environment(own_minio.environment)
        store = S3Store("bucket", "", replace(settings, attempts=9), create=True)
        store.put("key", b"old")
        own_minio.kill()
        writer = threading.Thread(target=store.put, args=("key", b"new"))
        writer.start()
        time.sleep(0.5)
        assert writer.is_alive()
        own_minio.start()
        writer.join(60)
        assert store.get("key") == b"new"
