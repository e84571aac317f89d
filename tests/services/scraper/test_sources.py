"""Zips and lists of addresses through a real server, its workers and the command line."""

from __future__ import annotations

import json
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from web_server import Page, WebServer

from services.scraper.service import register
from tagloom.cli.app import main
from tagloom.client import Clients, Credentials, connect
from tagloom.errors import InvalidArgument, NotFound, PermissionDenied
from tagloom.rpc.background import BackgroundServer
from tagloom.rpc.settings import Settings
from tagloom.v1 import scraper_pb2


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch, jpeg: bytes, png: bytes) -> Iterator[WebServer]:
    monkeypatch.setenv("TAGLOOM_URLS_ALLOW", "127.0.0.0/8")
    monkeypatch.setenv("TAGLOOM_URLS_CONTACT", "me@example.org")
    with WebServer() as server:
        server.pages = {"/a.jpg": Page(jpeg), "/b.png": Page(png)}
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BackgroundServer]:
    settings = Settings(
        store=str(tmp_path / "store"),
        address="127.0.0.1:0",
        metrics_address="127.0.0.1:0",
        workers=1,
    )
    with BackgroundServer({"scraper": register}, settings) as running:
        yield running


@pytest.fixture
def clients(server: BackgroundServer) -> Iterator[Clients]:
    with connect(server.address, Credentials()) as opened:
        yield opened


def create(clients: Clients, **source: object) -> scraper_pb2.Collection:
    request = scraper_pb2.CreateCollectionRequest(collection_id="x", **source)  # type: ignore[arg-type]
    operation = clients.scraper.CreateCollection(request)
    return clients.wait(operation, scraper_pb2.Collection, timeout_s=60)


def test_a_list_in_the_request(server: BackgroundServer, clients: Clients, web: WebServer) -> None:
    urls = [web.url(path) for path in ("/a.jpg", "/b.png", "/none.jpg")]
    made = create(clients, urls=scraper_pb2.UrlsSource(urls=urls))
    assert (made.stored_count, made.refused_count) == (2, 1)
    assert (made.urls.count, len(made.urls.sha256), list(made.urls.urls)) == (3, 64, [])
    page = clients.scraper.ListItems(scraper_pb2.ListItemsRequest(parent=made.name))
    assert [item.source for item in page.items] == urls
    assert server.server is not None
    address = f"http://127.0.0.1:{server.server.metrics_port}/metrics"
    with urllib.request.urlopen(address, timeout=10) as answer:
        metrics = answer.read().decode()
    for line in (
        'tagloom_scraper_requests_total{kind="url",outcome="ok"} 2.0',
        'tagloom_scraper_requests_total{kind="url",outcome="not_found"} 1.0',
        'tagloom_scraper_requests_total{kind="robots",outcome="not_found"} 1.0',
        'tagloom_scraper_items_total{source="urls",state="stored"} 2.0',
    ):
        assert line in metrics


def test_wrong_sources_are_told_at_once(clients: Clients, tmp_path: Path) -> None:
    def asked(**source: object) -> str:
        with pytest.raises((InvalidArgument, NotFound)) as caught:
            create(clients, **source)
        return caught.value.reason

    urls, zip_, s3 = scraper_pb2.UrlsSource, scraper_pb2.ZipSource, scraper_pb2.S3Source
    assert asked(urls=urls()) == "URL_LIST_INVALID"
    assert asked(urls=urls(path="/x", urls=["http://a"])) == "URL_LIST_INVALID"
    assert asked(urls=urls(urls=["http://a.example/"] * 1001)) == "URL_LIST_INVALID"
    assert asked(urls=urls(path="x.txt")) == "FILE_INVALID"
    assert asked(urls=urls(path=str(tmp_path / "none"))) == "FILE_NOT_FOUND"
    assert asked(zip=zip_(path=str(tmp_path / "none"))) == "FILE_NOT_FOUND"
    assert asked(zip=zip_(path=str(tmp_path))) == "NOT_A_FILE"
    for url in ("bucket/x", "s3://", "s3://B/x", "s3://user:key@bucket", "s3://bucket//x"):
        assert asked(s3=s3(url=url)) == "S3_URL_INVALID"
    assert asked() == "SOURCE_MISSING"


def test_a_server_that_others_reach_reads_no_files_or_buckets_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAGLOOM_FOLDERS", raising=False)
    monkeypatch.delenv("TAGLOOM_S3_SOURCES", raising=False)
    settings = Settings(
        store=str(tmp_path / "store"), address="0.0.0.0:0", insecure=True, workers=1, grace_s=4.0
    )
    (tmp_path / "x.txt").write_text("http://a.example/")
    with BackgroundServer({"scraper": register}, settings) as running:
        address = running.address.replace("0.0.0.0", "127.0.0.1")
        with connect(address, Credentials()) as clients:
            for source in (
                {"urls": scraper_pb2.UrlsSource(path=str(tmp_path / "x.txt"))},
                {"zip": scraper_pb2.ZipSource(path=str(tmp_path / "x.txt"))},
                {"s3": scraper_pb2.S3Source(url="s3://bucket")},
            ):
                with pytest.raises(PermissionDenied):
                    create(clients, **source)


def test_the_command_takes_lists_and_zips(
    web: WebServer, server: BackgroundServer, tmp_path: Path, jpeg: bytes
) -> None:
    listed = tmp_path / "urls.txt"
    listed.write_text(f"# mine\n{web.url('/a.jpg')}\n\n{web.url('/b.png')}\n{web.url('/a.jpg')}\n")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", jpeg)
    target = ["--target", server.address]
    runs = {
        "here": ["--store", str(tmp_path / "other"), "--urls", str(listed)],
        "away": [*target, "--urls", str(listed)],
        "zip": [*target, "--zip", str(tmp_path / "a.zip")],
    }
    made = {}
    for name, arguments in runs.items():
        command = ["scrape", "--collection", name, "--json", *arguments]
        result = CliRunner().invoke(main, command, env={"TAGLOOM_TARGET": None})
        assert result.exit_code == 0, result.output
        made[name] = json.loads(result.stdout)
    assert made["here"]["urls"] == {**made["away"]["urls"], "path": str(listed)}
    assert int(made["here"]["urls"]["count"]) == 2
    assert not made["away"]["urls"].get("path")
    assert made["here"]["stored_count"] == made["away"]["stored_count"]
    assert made["zip"]["zip"] == {"path": str(tmp_path / "a.zip")}
