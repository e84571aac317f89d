"""URLs of stores: which open, and what the others are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagloom.errors import FailedPrecondition, InvalidArgument, NotFound
from tagloom.store import open_store
from tagloom.store.local import LocalStore


def test_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("tagloom-data")
    assert isinstance(store, LocalStore)
    store.put("key", b"x")
    assert (tmp_path / "tagloom-data" / "key").read_bytes() == b"x"
    monkeypatch.chdir("/")
    assert store.get("key") == b"x"


def test_file_url_round_trip(tmp_path: Path) -> None:
    folder = tmp_path / "100% ümlaut #1?"
    store = open_store(str(folder))
    store.put("key", b"x")
    assert store.url.startswith("file:///")
    assert open_store(store.url, create=False).get("key") == b"x"


def test_absent_folder_without_create(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        open_store(str(tmp_path / "absent"), create=False)
    assert caught.value.reason == "STORE_NOT_FOUND"
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("below", ["", "/below"])
def test_file_instead_of_folder(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(InvalidArgument) as caught:
        open_store(f"{tmp_path}/file{below}")
    assert caught.value.reason == "STORE_URL_INVALID"
    assert (tmp_path / "file").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nul\0",
        "ftp://host/x",
        "file://otherhost/x",
        "file:///x?y=1",
        "s3://",
        "s3:///prefix",
        "s3://bucket/x?y=1",
    ],
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        open_store(url)
    assert caught.value.reason == "STORE_URL_INVALID"
    assert "s3://bucket" in caught.value.message


def test_credentials_in_the_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidArgument) as caught:
        open_store("s3://me:hunter2@bucket/prefix")
    assert "hunter2" not in str(caught.value) + str(caught.value.metadata)
    assert "MINIO_SECRET_KEY" in caught.value.message


def test_s3_without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MINIO_ENDPOINT", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MINIO_ACCESS_KEY", "me")
    with pytest.raises(FailedPrecondition) as caught:
        open_store("s3://bucket")
    assert caught.value.reason == "STORE_NOT_CONFIGURED"
    assert "MINIO_ENDPOINT and MINIO_SECRET_KEY" in caught.value.message
