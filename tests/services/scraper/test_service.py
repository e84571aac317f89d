"""ScraperService through a real server and real workers."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from instagram_server import COOKIES, Answer, InstagramServer
from instagram_world import Profile, make_posts

from services.scraper.service import register
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.dataset import Crop, Dataset
from tagloom.client import Clients, Credentials, connect
from tagloom.errors import (
    AlreadyExists,
    Cancelled,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from tagloom.paging import token_of
from tagloom.rpc.background import BackgroundServer
from tagloom.rpc.settings import Settings
from tagloom.store import open_store
from tagloom.v1 import operation_pb2, scraper_pb2

CATS = Profile("catlady", "1001")


@dataclasses.dataclass
class Scraper:
    """A server with the scraper alone, and a client of it."""

    clients: Clients
    store_url: str
    metrics_url: str

    def create(
        self,
        collection_id: str,
        *,
        folder: Path | None = None,
        hashtag: str = "",
        on_progress: object = None,
        **fields: object,
    ) -> scraper_pb2.Collection:
        request = create_request(collection_id, folder=folder, hashtag=hashtag, **fields)
        operation = self.clients.scraper.CreateCollection(request)
        return self.clients.wait(
            operation,
            scraper_pb2.Collection,
            on_progress=on_progress,  # type: ignore[arg-type]
            timeout_s=60,
        )

    def metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(self.metrics_url, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line.startswith("tagloom_scraper_"))
        return {name: float(value) for name, value in pairs}


def create_request(
    collection_id: str, *, folder: Path | None = None, hashtag: str = "", **fields: object
) -> scraper_pb2.CreateCollectionRequest:
    request = scraper_pb2.CreateCollectionRequest(collection_id=collection_id, **fields)  # type: ignore[arg-type]
    if folder is not None:
        request.folder.path = str(folder)
    if hashtag:
        request.hashtag.hashtag = hashtag
    return request


@pytest.fixture
def scraper(tmp_path: Path) -> Iterator[Scraper]:
    settings = Settings(
        store=str(tmp_path / "store"),
        address="127.0.0.1:0",
        metrics_address="127.0.0.1:0",
        lease_s=2.0,
        grace_s=6.0,
        workers=1,
    )
    with BackgroundServer({"scraper": register}, settings) as running:
        assert running.server is not None
        metrics = f"http://127.0.0.1:{running.server.metrics_port}/metrics"
        with connect(running.address, Credentials()) as clients:
            yield Scraper(clients, settings.store, metrics)


def test_a_folder_from_request_to_removal(
    scraper: Scraper, photo_folder: Path, jpeg: bytes
) -> None:
    clients = scraper.clients
    request_id = str(uuid.uuid4())
    seen: list[operation_pb2.OperationMetadata] = []
    made = scraper.create(
        "cats", folder=photo_folder, request_id=request_id, on_progress=seen.append
    )
    assert made.name == "collections/cats"
    assert made.folder.path == str(photo_folder)
    assert (made.item_count, made.stored_count, made.duplicate_count) == (5, 3, 1)
    assert (made.skipped_count, made.refused_count) == (1, 0)
    assert len(made.content_sha256) == 64
    assert (seen[-1].done, seen[-1].total) == (5, 5)

    get = scraper_pb2.GetCollectionRequest(name="collections/cats")
    assert clients.scraper.GetCollection(get) == made
    # The same request id: the same operation. Another request for the same name: refused.
    replay = create_request("cats", folder=photo_folder, request_id=request_id)
    assert clients.scraper.CreateCollection(replay).done
    with pytest.raises(AlreadyExists) as exists:
        scraper.create("cats", folder=photo_folder)
    assert exists.value.reason == "RESOURCE_EXISTS"

    # Page by page: every item once, in order.
    items, token = [], ""
    for _ in range(3):
        page = clients.scraper.ListItems(
            scraper_pb2.ListItemsRequest(parent=made.name, page_size=2, page_token=token)
        )
        items += page.items
        token = page.next_page_token
    assert token == ""
    assert [item.source for item in items] == [
        "b/cat again.jpeg",
        "b/coffee.png",
        "b/rocket",
        "cat.jpg",
        "notes.txt",
    ]
    item_state = scraper_pb2.Item.State
    assert [item_state.Name(item.state) for item in items[-2:]] == [
        "STATE_DUPLICATE",
        "STATE_SKIPPED",
    ]
    assert items[0].size_bytes == len(jpeg)
    assert items[0].time.ToDatetime() is not None
    assert items[4].reason == "NOT_A_PHOTO"

    store = open_store(scraper.store_url)
    dataset_uses(store_url=scraper.store_url, collection="collections/cats")
    delete = scraper_pb2.DeleteCollectionRequest(name=made.name)
    with pytest.raises(FailedPrecondition, match="datasets/d1 was made from") as used:
        clients.scraper.DeleteCollection(delete)
    assert used.value.reason == "COLLECTION_IN_USE"
    store.delete(layout.dataset_manifest("d1"))
    clients.scraper.DeleteCollection(delete)
    with pytest.raises(NotFound):
        clients.scraper.GetCollection(get)
    with pytest.raises(NotFound):
        clients.scraper.DeleteCollection(delete)
    assert store.exists(layout.image(items[0].sha256))  # until nothing refers to it

    assert scraper.metrics()['tagloom_scraper_items_total{source="folder",state="stored"}'] == 3


def dataset_uses(store_url: str, collection: str) -> None:
    Dataset(
        id="d1",
        create_time=now(),
        collection=collection,
        collection_sha256="",
        resolution=64,
        crop=Crop(),
        resize_filter="lanczos",
        thresholds=(),
        check_versions={},
        judged=0,
        kept=0,
        rejected=0,
        train=0,
        held_out=0,
        held_out_ratio=0.0,
        seed=0,
        content_sha256="",
        held_out_sha256="",
    ).create(open_store(store_url), layout.dataset_manifest("d1"), "datasets/d1")


def test_collections_are_listed_page_by_page(scraper: Scraper, photo_folder: Path) -> None:
    for collection_id in ("b", "a1", "a", "a-2"):
        scraper.create(collection_id, folder=photo_folder)
    pages, token = list[list[str]](), ""
    while True:
        page = scraper.clients.scraper.ListCollections(
            scraper_pb2.ListCollectionsRequest(page_size=3, page_token=token)
        )
        pages.append([collection.name for collection in page.collections])
        token = page.next_page_token
        if not token:
            break
    assert [len(names) for names in pages] == [3, 1]
    every = [name for names in pages for name in names]
    assert sorted(every) == [f"collections/{i}" for i in ("a", "a-2", "a1", "b")]


def test_wrong_requests_name_the_field(scraper: Scraper, photo_folder: Path) -> None:
    stub = scraper.clients.scraper
    hashtag, profile = scraper_pb2.HashtagSource, scraper_pb2.ProfileSource
    wrong: list[tuple[scraper_pb2.CreateCollectionRequest, str, str]] = [
        (create_request("Cats!", folder=photo_folder), "INVALID_ID", "collection_id"),
        (create_request("x"), "SOURCE_MISSING", "source"),
        (create_request("x", hashtag="two words"), "HASHTAG_INVALID", "hashtag.hashtag"),
        (create_request("x", hashtag="../../admin"), "HASHTAG_INVALID", "hashtag.hashtag"),
        (
            scraper_pb2.CreateCollectionRequest(
                collection_id="x", profile=profile(profile="a/b?c")
            ),
            "PROFILE_INVALID",
            "profile.profile",
        ),
        (
            scraper_pb2.CreateCollectionRequest(
                collection_id="x", hashtag=hashtag(hashtag="cats", max_posts=-1)
            ),
            "MAX_POSTS_INVALID",
            "hashtag.max_posts",
        ),
    ]
    for request, reason, field in wrong:
        with pytest.raises(InvalidArgument) as caught:
            stub.CreateCollection(request)
        assert (caught.value.reason, caught.value.metadata["field"]) == (reason, field)
    with pytest.raises(InvalidArgument) as token:
        stub.ListCollections(scraper_pb2.ListCollectionsRequest(page_token="../x"))
    assert token.value.reason == "PAGE_TOKEN_INVALID"
    with pytest.raises(InvalidArgument) as size:
        stub.ListCollections(scraper_pb2.ListCollectionsRequest(page_size=-1))
    assert size.value.reason == "PAGE_SIZE_INVALID"
    with pytest.raises(NotFound):
        stub.ListItems(scraper_pb2.ListItemsRequest(parent="collections/none"))
    with pytest.raises(InvalidArgument) as name:
        stub.GetCollection(scraper_pb2.GetCollectionRequest(name="datasets/x"))
    assert name.value.reason == "INVALID_NAME"


def test_tokens_of_items_that_no_list_gave(scraper: Scraper, photo_folder: Path) -> None:
    scraper.create("cats", folder=photo_folder)
    items = "collections/cats/items"
    crafted = [token_of(items, offset) for offset in (7, 999_999, "9" * 40, "0", "\u0661")]
    for token in ("7", "x", "999999", "\u0661", token_of("collections/dogs/items", 1), *crafted):
        request = scraper_pb2.ListItemsRequest(parent="collections/cats", page_token=token)
        with pytest.raises(InvalidArgument) as caught:
            scraper.clients.scraper.ListItems(request)
        assert caught.value.reason == "PAGE_TOKEN_INVALID"


def test_bad_folders_are_told_at_once_or_in_the_operation(scraper: Scraper, tmp_path: Path) -> None:
    create = scraper.clients.scraper.CreateCollection
    with pytest.raises(NotFound) as missing:
        create(create_request("x", folder=tmp_path / "none"))
    assert missing.value.reason == "FOLDER_NOT_FOUND"
    file = tmp_path / "file.jpg"
    file.write_text("x")
    with pytest.raises(InvalidArgument) as not_folder:
        create(create_request("x", folder=file))
    assert not_folder.value.reason == "NOT_A_FOLDER"
    folder = tmp_path / "texts"
    folder.mkdir()
    with pytest.raises(FailedPrecondition) as empty:
        scraper.create("x", folder=folder)
    assert empty.value.reason == "FOLDER_EMPTY"
    (folder / "a.jpg").write_text("text")
    with pytest.raises(FailedPrecondition) as texts:
        scraper.create("x", folder=folder)
    assert texts.value.reason == "NO_PHOTOS"
    assert texts.value.metadata["reasons"] == "NOT_AN_IMAGE"


def test_only_allowed_folders(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def settings(address: str) -> Settings:
        return Settings(
            store=str(tmp_path / "store"), address=address, insecure=True, workers=1, grace_s=4.0
        )

    monkeypatch.delenv("TAGLOOM_FOLDERS", raising=False)
    request = create_request("x", folder=photo_folder)
    with (
        BackgroundServer({"scraper": register}, settings("0.0.0.0:0")) as open_to_all,
        connect(open_to_all.address.replace("0.0.0.0", "127.0.0.1"), Credentials()) as clients,
        pytest.raises(PermissionDenied, match="TAGLOOM_FOLDERS") as caught,
    ):
        clients.scraper.CreateCollection(request)
    assert caught.value.reason == "FOLDER_NOT_ALLOWED"
    monkeypatch.setenv("TAGLOOM_FOLDERS", str(tmp_path / "elsewhere"))
    with (
        BackgroundServer({"scraper": register}, settings("127.0.0.1:0")) as local,
        connect(local.address, Credentials()) as clients,
        pytest.raises(PermissionDenied),
    ):
        clients.scraper.CreateCollection(request)


def test_a_hashtag_with_a_wait_that_can_be_watched_and_no_secret_anywhere(
    instagram: InstagramServer,
    logged_in: Path,
    scraper: Scraper,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAGLOOM_INSTAGRAM_MAX_WAIT_S", "60")
    instagram.world.add_hashtag("betta", make_posts(CATS, 14))
    instagram.fail("image", Answer.failure(429, "no", Retry_After="4"), Answer(503), after=2)
    seen: list[operation_pb2.OperationMetadata] = []
    made = scraper.create("fish", hashtag="#Betta", on_progress=seen.append)
    assert made.hashtag.hashtag == "betta"
    assert made.hashtag.max_posts == 1000
    waits = [m for m in seen if m.phase == "wait"]
    assert waits
    assert "Instagram limits the requests" in waits[0].last_message
    assert "going on at" in waits[0].last_message
    told = waits[0].wait
    assert told.reason == "INSTAGRAM_RATE_LIMITED"
    assert abs(told.until.ToSeconds() - waits[0].update_time.ToSeconds()) <= 5
    assert (told.posts_left, told.images_left) == (12, 12)
    assert not seen[-1].HasField("wait")
    metrics = scraper.metrics()
    ok = metrics['tagloom_scraper_requests_total{kind="image",outcome="ok"}']
    assert ok == made.stored_count
    assert metrics['tagloom_scraper_requests_total{kind="image",outcome="rate_limited"}'] == 1
    assert metrics['tagloom_scraper_requests_total{kind="image",outcome="server_error"}'] == 1
    assert metrics['tagloom_scraper_wait_seconds_total{reason="rate_limit"}'] >= 1.4
    assert sum(value for name, value in metrics.items() if "requests_total" in name) == len(
        instagram.requests
    )
    paused_until = metrics["tagloom_scraper_paused_until_timestamp_seconds"]
    assert time.time() - 60 < paused_until < time.time(), "the pause is over"
    locked_out = 'tagloom_scraper_locked_out{reason="session_rejected"}'
    assert metrics[locked_out] == 0

    instagram.fail("hashtag", Answer.failure(403, "login_required"))
    with pytest.raises(Unauthenticated) as refused:
        scraper.create("more", hashtag="betta")
    assert refused.value.reason == "INSTAGRAM_SESSION_REJECTED"
    metrics = scraper.metrics()
    assert metrics[locked_out] == 1
    assert sum(value for name, value in metrics.items() if "locked_out" in name) == 1
    scraper.create("more", hashtag="betta")
    assert scraper.metrics()[locked_out] == 0, "Instagram answers again"

    everything = "".join(capfd.readouterr()) + caplog.text + str(refused.value.metadata)
    everything += str(seen) + str(metrics) + refused.value.message
    stored = b"".join(p.read_bytes() for p in (tmp_path / "store").rglob("*") if p.is_file())
    assert b"betta" in stored
    for secret in (COOKIES["sessionid"], COOKIES["csrftoken"]):
        assert secret not in everything
        assert secret.encode() not in stored


def test_cancelled_while_waiting_for_instagram(
    instagram: InstagramServer, logged_in: Path, scraper: Scraper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAGLOOM_INSTAGRAM_MAX_WAIT_S", "3600")
    instagram.world.add_hashtag("betta", make_posts(CATS, 3))
    instagram.fail("image", Answer.failure(429, "no", Retry_After="600"))
    request = create_request("fish", hashtag="betta")
    operation = scraper.clients.scraper.CreateCollection(request)

    def cancel_in_the_wait(metadata: operation_pb2.OperationMetadata) -> None:
        if metadata.phase == "wait":
            scraper.clients.cancel_operation(operation.name)

    started = time.monotonic()
    with pytest.raises(Cancelled):
        scraper.clients.wait(
            operation, scraper_pb2.Collection, on_progress=cancel_in_the_wait, timeout_s=30
        )
    assert time.monotonic() - started < 20
    # While it was at work, nobody else could take the name.
    with pytest.raises(NotFound):
        scraper.clients.scraper.GetCollection(
            scraper_pb2.GetCollectionRequest(name="collections/fish")
        )


def test_one_operation_for_a_name(
    instagram: InstagramServer, logged_in: Path, scraper: Scraper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAGLOOM_INSTAGRAM_MAX_WAIT_S", "3600")
    instagram.world.add_hashtag("betta", make_posts(CATS, 3))
    instagram.fail("hashtag", Answer.failure(429, "no", Retry_After="600"))
    request = create_request("fish", hashtag="betta")
    ids = [str(uuid.uuid4()) for _ in range(3)]
    create = scraper.clients.scraper.CreateCollection
    operation = create(create_request("fish", hashtag="betta", request_id=ids[0]))
    # Asked for again, by whoever was interrupted: the same operation, whatever the id.
    for request_id in ids:
        again = create_request("fish", hashtag="betta", request_id=request_id)
        assert create(again).name == operation.name
    assert create(request).name == operation.name
    with pytest.raises(AlreadyExists, match="is being collected by operations/") as caught:
        create(create_request("fish", hashtag="guppy"))
    assert caught.value.metadata["operation"] == operation.name
    remove = scraper_pb2.DeleteCollectionRequest(name="collections/fish")
    with pytest.raises(FailedPrecondition, match="wait for it or cancel it first"):
        scraper.clients.scraper.DeleteCollection(remove)
    scraper.clients.cancel_operation(operation.name)
    with pytest.raises(Cancelled):
        scraper.clients.wait(operation, scraper_pb2.Collection, timeout_s=60)
    with pytest.raises(NotFound):  # nothing was taken yet; and nobody works on it
        scraper.clients.scraper.DeleteCollection(remove)
    # What an id was answered stays its answer.
    done = create(create_request("fish", hashtag="betta", request_id=ids[1]))
    assert (done.name, done.done) == (operation.name, True)


def test_the_server_is_killed_and_finishes_after_its_restart(
    tmp_path: Path, instagram: InstagramServer, logged_in: Path
) -> None:
    instagram.world.add_hashtag("betta", make_posts(CATS, 14))
    instagram.fail("image", Answer(200, b"", seconds=1.0), after=4)
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "services.scraper.server", "--address", address]
    environment = {
        **os.environ,
        "TAGLOOM_STORE": str(tmp_path / "store"),
        "TAGLOOM_LEASE_S": "1.5",
        "TAGLOOM_LOG_LEVEL": "ERROR",
    }
    with connect(address, Credentials()) as clients:
        first = subprocess.Popen(command, env=environment)
        try:
            operation = when_up(clients, create_request("fish", hashtag="betta"))
            end = time.monotonic() + 40
            while instagram.counts["image"] < 5 and time.monotonic() < end:
                time.sleep(0.01)
        finally:
            first.send_signal(signal.SIGKILL)
            first.wait()
        fetched = instagram.counts["image"]
        assert 5 <= fetched < 14
        second = subprocess.Popen(command, env=environment)
        try:
            made = clients.wait(operation, scraper_pb2.Collection, timeout_s=60)
        finally:
            second.terminate()
            assert second.wait(timeout=30) == 0
    assert made.stored_count == 14
    assert instagram.counts["image"] <= 14 + 2  # at most the one post at which it was killed


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def when_up(clients: Clients, request: scraper_pb2.CreateCollectionRequest) -> str:
    end = time.monotonic() + 60
    while True:
        try:
            return str(clients.scraper.CreateCollection(request).name)
        except Unavailable:
            assert time.monotonic() < end
            time.sleep(0.1)
