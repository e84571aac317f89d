"""What only a server can do wrong: refuse, vanish, hang, or lose its answer on the way."""

from __future__ import annotations

import http.server
import inspect
import io
import threading
import time
import traceback
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from minio import Minio
from minio.error import S3Error

from tagloom.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    TagloomError,
    Unauthenticated,
    Unavailable,
)
from tagloom.store import InvalidKey, ObjectNotFound, PreconditionFailed, open_store
from tagloom.store.s3 import S3Store
from tagloom.store.s3_client import Settings, conditional_put, make_client
from tests.conformance.racers import in_threads
from tests.faults.cable import Cable
from tests.plugins.minio_server import MinioServer

MIB = 1 << 20


def settings_of(server: MinioServer, **changes: object) -> Settings:
    return replace(Settings.from_environment(server.environment), **changes)  # type: ignore[arg-type]


@pytest.fixture
def bucket(minio: MinioServer) -> str:
    name = f"b{uuid.uuid4().hex}"
    S3Store(name, "", settings_of(minio), create=True)
    return name


@pytest.fixture
def store(minio: MinioServer, bucket: str) -> S3Store:
    return S3Store(bucket, "", settings_of(minio))


@pytest.fixture
def cable(minio: MinioServer) -> Iterator[Cable]:
    with Cable(minio.port) as line:
        yield line


@pytest.fixture
def far(minio: MinioServer, bucket: str, cable: Cable) -> S3Store:
    """The same bucket, at the other end of a cable that can be cut."""
    return S3Store(bucket, "", settings_of(minio, endpoint=f"127.0.0.1:{cable.port}"))


class TestAdapter:
    """`minio` is pinned because of one private method: these tests fail when it changes."""

    def test_signature(self) -> None:
        parameters = inspect.signature(Minio._put_object).parameters
        names = ["self", "bucket_name", "object_name", "data", "headers", "query_params"]
        assert list(parameters) == names
        assert inspect.signature(Minio._execute).parameters.keys() >= {"body", "headers"}

    @pytest.mark.minio
    def test_headers_reach_the_server(self, minio: MinioServer, bucket: str) -> None:
        client = make_client(settings_of(minio))
        headers = {"If-None-Match": "*"}
        etag = conditional_put(client, bucket, "k", b"1", headers=headers)
        assert headers == {"If-None-Match": "*"}, "credentials leaked into the caller's headers"
        with pytest.raises(S3Error) as caught:
            conditional_put(client, bucket, "k", b"2", headers=headers)
        assert (caught.value.code, caught.value.response.status) == ("PreconditionFailed", 412)
        conditional_put(client, bucket, "k", b"3", headers={"If-Match": f'"{etag}"'})
        with pytest.raises(S3Error) as caught:
            conditional_put(client, bucket, "k", b"4", headers={"If-Match": f'"{etag}"'})
        assert caught.value.code == "PreconditionFailed"

    @pytest.mark.minio
    def test_why_the_public_method_does_not_do(self, minio: MinioServer, bucket: str) -> None:
        """The day this fails, the adapter can go."""
        client = make_client(settings_of(minio))
        for data in (b"1", b"2"):
            client.put_object(bucket, "k", io.BytesIO(data), 1, metadata={"If-None-Match": "*"})
        response = client.get_object(bucket, "k")
        assert response.read() == b"2"
        response.release_conn()


class TestSettings:
    BASE = {"MINIO_ACCESS_KEY": "me", "MINIO_SECRET_KEY": "hunter2"}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("endpoint", "shown"),
        [
            ("http://minio:9000", "http://minio:9000"),
            ("https://s3.example.org", "https://s3.example.org"),
            ("https://s3.example.org/", "https://s3.example.org"),
            ("s3.example.org", "https://s3.example.org"),
            ("minio:9000", "https://minio:9000"),
            ("localhost:9000", "http://localhost:9000"),
            ("127.0.0.1:9000", "http://127.0.0.1:9000"),
            ("[::1]:9000", "http://[::1]:9000"),
        ],
    )
    def test_endpoints(self, endpoint: str, shown: str) -> None:
        settings = Settings.from_environment({**self.BASE, "MINIO_ENDPOINT": endpoint})
        assert settings.shown == shown

    @pytest.mark.parametrize(
        "endpoint",
        [
            "ftp://x",
            "http://",
            "http://x/path",
            "http://u:hunter2@x",
            "x:port",
            "http://x?y",
            "a b",
        ],
    )
    def test_bad_endpoints(self, endpoint: str) -> None:
        with pytest.raises(FailedPrecondition) as caught:
            make_client(Settings.from_environment({**self.BASE, "MINIO_ENDPOINT": endpoint}))
        assert caught.value.reason == "STORE_NOT_CONFIGURED"
        assert "hunter2" not in caught.value.message

    def test_secrets_stay_out_of_repr(self) -> None:
        settings = Settings.from_environment({**self.BASE, "MINIO_ENDPOINT": "localhost"})
        assert "hunter2" not in repr(settings)


@pytest.mark.minio
class TestRefusals:
    def test_wrong_secret(self, minio: MinioServer, bucket: str) -> None:
        wrong = settings_of(minio, secret_key="hunter2-hunter2")
        with pytest.raises(Unauthenticated) as caught:
            S3Store(bucket, "", wrong)
        assert "MINIO_SECRET_KEY" in caught.value.message
        text = "".join(traceback.format_exception(caught.value))
        assert "hunter2" not in text

    def test_unknown_access_key(self, minio: MinioServer, bucket: str) -> None:
        with pytest.raises(Unauthenticated):
            S3Store(bucket, "", settings_of(minio, access_key="nobody"))

    def test_missing_bucket(self, minio: MinioServer) -> None:
        with pytest.raises(NotFound) as caught:
            S3Store("absent-bucket", "", settings_of(minio), create=False)
        assert caught.value.reason == "STORE_NOT_FOUND"
        assert "absent-bucket" in caught.value.message

    def test_bucket_removed_meanwhile(
        self, minio: MinioServer, store: S3Store, bucket: str
    ) -> None:
        make_client(settings_of(minio)).remove_bucket(bucket)
        for call in (lambda: store.put("k", b""), lambda: store.get("k"), lambda: store.list()):
            with pytest.raises(NotFound) as caught:
                call()
            assert caught.value.reason == "STORE_NOT_FOUND"
            assert not isinstance(caught.value, ObjectNotFound)

    @pytest.mark.parametrize("name", ["B_ad", "x", "a..b", "127.0.0.1"])
    def test_bucket_names(self, minio: MinioServer, name: str) -> None:
        with pytest.raises(InvalidArgument) as caught:
            S3Store(name, "", settings_of(minio), create=True)
        assert caught.value.reason == "STORE_URL_INVALID"

    def test_bad_prefix(self, minio: MinioServer, bucket: str) -> None:
        with pytest.raises(InvalidArgument) as caught:
            S3Store(bucket, "a/../b", settings_of(minio))
        assert caught.value.reason == "STORE_URL_INVALID"

    def test_prefix_counts_towards_the_key(self, minio: MinioServer, bucket: str) -> None:
        below = S3Store(bucket, "p" * 100, settings_of(minio))
        with pytest.raises(InvalidKey):
            below.put("/".join(["x" * 204] * 5), b"")

    def test_prefixes_are_apart(self, minio: MinioServer, bucket: str, store: S3Store) -> None:
        one, ten = (S3Store(bucket, prefix, settings_of(minio)) for prefix in ("p/1", "p/10"))
        one.put("k", b"1")
        ten.put("k", b"10")
        store.put("p/1x/k", b"neither")
        assert [info.key for info in one.iterate()] == ["k"]
        assert (one.get("k"), store.get("p/10/k")) == (b"1", b"10")

    def test_https_to_a_plain_server(self, minio: MinioServer) -> None:
        with pytest.raises(Unavailable) as caught:
            S3Store("bucket", "", settings_of(minio, secure=True, attempts=1))
        assert "http://" in caught.value.message

    def test_minio_hides_objects_below_an_object(self, store: S3Store) -> None:
        """Why the contract forbids it. The day this fails, MinIO has changed."""
        store.put("a", b"1")
        store.put("a/b", b"2")
        assert (store.get("a"), store.get("a/b")) == (b"1", b"2")
        assert [info.key for info in store.iterate()] == ["a"]


@pytest.mark.minio
class TestCutCable:
    """Bytes really lost between a real client and a real server."""

    def test_lost_answer_to_a_create_that_won(self, far: S3Store, cable: Cable) -> None:
        cable.cut("answer")
        etag = far.put("k", b"ours", if_none_match=True)
        assert cable.cuts == 1
        assert far.get_with_etag("k") == (b"ours", etag)

    def test_lost_answer_to_a_create_that_lost(
        self, far: S3Store, store: S3Store, cable: Cable
    ) -> None:
        store.put("k", b"theirs")
        cable.cut("answer")
        with pytest.raises(PreconditionFailed):
            far.put("k", b"ours", if_none_match=True)
        assert cable.cuts == 1
        assert store.get("k") == b"theirs"

    def test_lost_answer_to_a_swap_that_won(self, far: S3Store, cable: Cable) -> None:
        first = far.put("k", b"first")
        cable.cut("answer")
        second = far.put("k", b"second", if_match=first)
        assert cable.cuts == 1
        assert far.get_with_etag("k") == (b"second", second)

    def test_lost_answer_to_a_swap_that_lost(
        self, far: S3Store, store: S3Store, cable: Cable
    ) -> None:
        first = far.put("k", b"first")
        store.put("k", b"theirs")
        cable.cut("answer")
        with pytest.raises(PreconditionFailed):
            far.put("k", b"ours", if_match=first)
        assert store.get("k") == b"theirs"

    def test_lost_answer_to_a_swap_of_what_was_deleted(
        self, far: S3Store, store: S3Store, cable: Cable
    ) -> None:
        first = far.put("k", b"first")
        store.delete("k")
        cable.cut("answer")
        with pytest.raises(PreconditionFailed):
            far.put("k", b"ours", if_match=first)
        assert not store.exists("k")

    @pytest.mark.parametrize("after", [0, 300, 500_000])
    def test_request_cut(self, far: S3Store, cable: Cable, after: int) -> None:
        far.put("k", b"old")
        cable.cut("request", after)
        far.put("k", b"n" * MIB)
        assert cable.cuts == 1
        assert far.get("k") == b"n" * MIB

    @pytest.mark.parametrize("after", [0, 100, 500_000])
    def test_answer_cut_while_reading(self, far: S3Store, cable: Cable, after: int) -> None:
        data = bytes(range(256)) * 4096
        far.put("k", data)
        cable.cut("answer", after)
        assert far.get("k") == data
        assert cable.cuts == 1

    def test_upload_cut_in_the_middle(self, far: S3Store, cable: Cable, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"0123456789abcdef" * (40 * MIB // 16))
        cable.cut("request", 20 * MIB)
        far.put_file("k", tmp_path / "file")
        assert cable.cuts == 1
        far.get_file("k", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == (tmp_path / "file").read_bytes()

    def test_download_cut_in_the_middle(self, far: S3Store, cable: Cable, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"0123456789abcdef" * (20 * MIB // 16))
        far.put_file("k", tmp_path / "file")
        cable.cut("answer", 7 * MIB)
        far.get_file("k", tmp_path / "copy")
        assert cable.cuts == 1
        assert (tmp_path / "copy").read_bytes() == (tmp_path / "file").read_bytes()

    def test_listing_cut(self, far: S3Store, cable: Cable) -> None:
        for index in range(20):
            far.put(f"{index:02}", b"")
        cable.cut("answer", 400)
        assert [info.key for info in far.iterate()] == [f"{index:02}" for index in range(20)]
        assert cable.cuts == 1


@pytest.mark.minio
class TestServerThatHangs:
    def test_gives_up_with_one_sentence(self, own_minio: MinioServer) -> None:
        settings = settings_of(own_minio, read_timeout_s=0.3, attempts=2)
        store = S3Store("bucket", "", settings, create=True)
        store.put("k", b"old")
        own_minio.pause()
        started = time.monotonic()
        try:
            with pytest.raises(Unavailable) as caught:
                store.put("k", b"new")
        finally:
            own_minio.resume()
        assert time.monotonic() - started < 5
        assert own_minio.endpoint in caught.value.message
        assert caught.value.reason == "STORE_UNAVAILABLE"


@pytest.mark.minio
def test_two_openers_create_one_bucket(minio: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in minio.environment.items():
        monkeypatch.setenv(name, value)
    url = f"s3://new-{uuid.uuid4().hex}"
    stores = in_threads(4, lambda _: open_store(url))
    assert all(isinstance(store, S3Store) for store in stores)


@pytest.mark.minio
def test_every_error_is_one_of_ours(minio: MinioServer, bucket: str, store: S3Store) -> None:
    """A server that speaks HTTP and no S3, and a port at which nobody listens."""

    class Teapot(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(418)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Teapot) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        elsewhere = settings_of(minio, endpoint=f"127.0.0.1:{server.server_port}", attempts=2)
        with pytest.raises(TagloomError) as caught:
            S3Store(bucket, "", elsewhere)
        assert caught.value.reason == "STORE_REFUSED"
        server.shutdown()
    with pytest.raises(Unavailable) as caught_nobody:
        S3Store(bucket, "", replace(elsewhere, endpoint="127.0.0.1:9"))
    assert "does not answer" in caught_nobody.value.message
