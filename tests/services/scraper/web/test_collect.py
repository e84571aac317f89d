"""Lists of addresses against a real server: what is taken, refused, waited for and gone on with."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
from web_server import Page, WebServer

from services.scraper.collect import CollectRequest, collect
from services.scraper.ledger import from_lines
from tagloom.artifacts import layout
from tagloom.artifacts.collection import Collection, Item, UrlsSource
from tagloom.errors import Cancelled, FailedPrecondition
from tagloom.store import Store


def take(store: Store, urls: Iterable[str], name: str = "x") -> Collection:
    return collect(store, CollectRequest(name, UrlsSource(), urls=tuple(urls)))


def items(store: Store, name: str = "x") -> list[Item]:
    return list(from_lines(store.get(layout.collection_items(name))))


def reasons(store: Store) -> dict[str, str]:
    """State and reason by the last part of the address."""
    return {
        item.source.rpartition("/")[2]: f"{item.state} {item.reason}".strip()
        for item in items(store)
    }


def test_every_address_is_an_item_in_the_order_of_the_list(
    web: WebServer, store: Store, jpeg: bytes, png: bytes
) -> None:
    date = {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
    web.pages = {
        "/a.jpg": Page(jpeg, headers=date, seconds=0.3),  # arrives last
        "/again.jpg": Page(jpeg),
        "/b.png": Page(png),
        "/page": Page(b"<html></html>", headers={"Content-Type": "text/html"}),
        "/lie.jpg": Page(b"<html></html>"),
        "/gif.gif": Page(b"GIF89a" + bytes(100)),
        "/film.mp4": Page(b"\0\0\0\x18ftypisom" + bytes(100)),
        "/secret": Page(b"no", 403),
        "/moved": Page(status=301, headers={"Location": "b.png"}),
        "/empty.jpg": Page(b""),
    }
    names = [*web.pages, "/gone.jpg"]
    made = take(store, map(web.url, names))
    met = items(store)
    assert [item.source for item in met] == [web.url(name) for name in names]
    assert reasons(store) == {
        "a.jpg": "stored",
        "again.jpg": "duplicate",
        "b.png": "stored",
        "page": "skipped NOT_A_PHOTO",
        "lie.jpg": "refused NOT_AN_IMAGE",
        "gif.gif": "refused UNSUPPORTED_FORMAT",
        "film.mp4": "skipped VIDEO",
        "secret": "refused FORBIDDEN",
        "moved": "duplicate",
        "empty.jpg": "refused EMPTY_FILE",
        "gone.jpg": "refused GONE",
    }
    assert str(met[0].time) == "2015-10-21 07:28:00+00:00"
    assert met[8].permalink == web.url("/b.png")
    assert met[0].permalink == ""
    assert (made.stored, made.duplicates, made.skipped, made.refused) == (2, 2, 2, 5)
    assert isinstance(made.source, UrlsSource)
    assert made.source.count == len(names)
    assert all(item.detail.endswith(".") for item in met if item.state != "stored")
    assert store.get(layout.image(met[0].sha256)) == jpeg
    asked = [seen for seen in web.requests if seen.path == "/a.jpg"]
    assert [seen.headers["user-agent"] for seen in asked] == [
        "Tagloom/0.1.0 (collects images; me@example.org)"
    ]


def test_addresses_that_are_never_asked(web: WebServer, store: Store, jpeg: bytes) -> None:
    web.pages = {"/a.jpg": Page(jpeg)}
    wrong = [
        "ftp://127.0.0.1/a.jpg",
        "file:///etc/passwd",
        f"http://user:secret@127.0.0.1:{web.port}/a.jpg",
        "http://127.0.0.1:99999/a.jpg",
        "//127.0.0.1/a.jpg",
        "http://",
        "http://[::1/a.jpg",
        "nonsense",
        "http://" + "a" * 5000,
    ]
    take(store, [web.url("/a.jpg"), *wrong])
    assert [item.reason for item in items(store)] == ["", *["URL_INVALID"] * len(wrong)]
    assert web.paths == ["/a.jpg"]
    assert "secret" not in "".join(item.detail for item in items(store))


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"),
        *("0.0.0.0", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fec0::1]"),
    ],
)
def test_this_machine_is_not_the_web(
    web: WebServer, store: Store, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.delenv("TAGLOOM_URLS_ALLOW")
    with pytest.raises(FailedPrecondition) as caught:
        take(store, [f"http://{host}:{web.port}/a.jpg"])
    assert caught.value.metadata["reasons"] == "ADDRESS_NOT_ALLOWED"
    assert web.requests == []


def test_a_redirect_leads_nowhere_private(web: WebServer, store: Store, jpeg: bytes) -> None:
    web.pages = {
        "/a.jpg": Page(jpeg),
        "/metadata": Page(status=302, headers={"Location": "http://169.254.169.254/latest/"}),
        "/lan": Page(status=307, headers={"Location": "http://10.0.0.1/"}),
        "/file": Page(status=302, headers={"Location": "file:///etc/passwd"}),
        "/round": Page(status=302, headers={"Location": "/round"}),
        "/nowhere": Page(status=302),
    }
    take(store, map(web.url, web.pages))
    assert reasons(store) == {
        "a.jpg": "stored",
        "metadata": "refused ADDRESS_NOT_ALLOWED",
        "lan": "refused ADDRESS_NOT_ALLOWED",
        "file": "refused URL_INVALID",
        "round": "refused TOO_MANY_REDIRECTS",
        "nowhere": "refused HTTP_ERROR",
    }
    assert web.paths.count("/round") == 6


def test_a_name_that_means_another_machine_a_moment_later(
    web: WebServer, store: Store, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the address that was judged is the one that is connected to."""
    monkeypatch.setenv("TAGLOOM_URLS_ALLOW", "127.0.0.2/32")
    real, answers = socket.getaddrinfo, ["127.0.0.2", "127.0.0.1"]

    def resolve(host: str, *args: object, **kwargs: object) -> object:
        if host == "photos.test":
            host = answers.pop(0) if len(answers) > 1 else answers[0]
        return real(host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    connected: list[str] = []
    real_connect = socket.socket.connect

    def connect(self: socket.socket, address: tuple[str, int]) -> None:
        connected.append(address[0])
        real_connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    web.pages = {"/a.jpg": Page(jpeg), "/b.jpg": Page(jpeg + b"b")}
    made = take(store, [web.url(path, "photos.test") for path in web.pages])
    assert made.stored == 2
    assert set(connected) == {"127.0.0.2"}
    assert {seen.host for seen in web.requests} == {"photos.test"}


def test_robots_are_asked_first_and_obeyed(web: WebServer, store: Store, jpeg: bytes) -> None:
    rules = b"User-agent: *\nDisallow: /all/\nAllow: /all/but*.jpg$\n\nUser-agent: Tagloom\n"
    rules += b"Disallow: /ours/\nDisallow: /*?private\n"
    other = b"User-agent: *\nDisallow: /\n"
    web.pages = {
        "127.0.0.1/robots.txt": Page(rules),
        "127.0.0.2/robots.txt": Page(other),
        "127.0.0.3/robots.txt": Page(status=301, headers={"Location": "/rules"}),
        "127.0.0.3/rules": Page(other),
        "127.0.0.4/robots.txt": Page(b"\xff\xfenothing \0 sensible\n" * 100),
    }
    paths = ("/all/a.jpg", "/ours/a.jpg", "/a.jpg", "/a.jpg?private=1")
    web.pages |= {path: Page(jpeg + path.encode()) for path in paths}
    urls = [web.url(path) for path in paths]
    urls += [web.url("/a.jpg", f"127.0.0.{n}") for n in (2, 3, 4)]
    take(store, urls)
    assert [item.reason for item in items(store)] == [
        "",  # a group of our own: the one for everybody does not count
        "ROBOTS_DISALLOWED",
        "",
        "ROBOTS_DISALLOWED",
        "ROBOTS_DISALLOWED",
        "ROBOTS_DISALLOWED",
        "",
    ]
    asked = [seen.path for seen in web.requests if seen.host == "127.0.0.1"]
    assert asked[0] == "/robots.txt"
    assert asked.count("/robots.txt") == 1
    assert sorted(asked[1:]) == ["/a.jpg", "/all/a.jpg"]


def test_without_an_answer_about_robots_nothing_is_fetched(
    web: WebServer, store: Store, jpeg: bytes
) -> None:
    web.pages = {
        "127.0.0.2/robots.txt": Page(status=503),
        "127.0.0.3/robots.txt": [Page(status=503), Page(b"")],
        **{f"/{n}.jpg": Page(jpeg + bytes([n])) for n in range(30)},
    }
    urls = [web.url(f"/{n}.jpg", "127.0.0.2") for n in range(30)]
    take(store, [*urls, web.url("/1.jpg", "127.0.0.3")])
    assert [item.reason for item in items(store)] == [*["ROBOTS_UNKNOWN"] * 30, ""]
    assert len([seen for seen in web.requests if seen.host == "127.0.0.2"]) == 3


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("noai", False),
        ("nofollow, noimageai", False),
        ("NoIndex", False),
        ("none", False),
        ("otherbot: noindex", True),
        ("otherbot: noindex\ntagloom: noai", False),
        ("otherbot: nofollow, noai", True),
        ("unavailable_after: 1 Jan 2040 00:00:00 GMT, noindex", False),
        ("all", True),
        ("", True),
    ],
)
def test_x_robots_tag(
    web: WebServer, store: Store, jpeg: bytes, png: bytes, header: str, taken: bool
) -> None:
    web.pages = {"/b.png": Page(png), "/a.jpg": Page(jpeg, headers={"X-Robots-Tag": header})}
    take(store, map(web.url, web.pages))
    assert items(store)[1].reason == ("" if taken else "ROBOTS_TAG")


def test_a_pause_that_a_host_asks_for_is_kept_by_all_of_its_requests(
    web: WebServer, store: Store, jpeg: bytes
) -> None:
    first = Page(b"slow down", 429, {"Retry-After": "1"})
    web.pages = {f"/{n}.jpg": Page(jpeg + bytes([n])) for n in range(12)}
    web.pages["127.0.0.1/0.jpg"] = [first, Page(jpeg)]
    here = [web.url(f"/{n}.jpg") for n in range(6)]
    there = [web.url(f"/{n}.jpg", "127.0.0.2") for n in range(6, 12)]
    said: list[tuple[str, str]] = []
    request = CollectRequest("x", UrlsSource(), urls=(*here, *there))
    made = collect(store, request, lambda p, d, t, m="", **_: said.append((p, m)))
    assert made.stored == 12
    times = {(seen.host, seen.path): seen.time for seen in web.requests}
    refused = next(seen.time for seen in web.requests if seen.path == "/0.jpg")
    late = [seen.time for seen in web.requests if seen.host == "127.0.0.1"]
    # Up to four were under way when it was refused; every other one waited.
    assert sum(time > refused + 0.95 for time in late) >= 3
    assert not [t for t in late if refused + 0.3 < t < refused + 0.95]
    assert times["127.0.0.2", "/11.jpg"] < refused + 0.9  # others go on
    assert any(phase == "wait" and "127.0.0.1 asked for a pause" in text for phase, text in said)


def test_a_host_that_wants_too_long_a_pause_is_left(
    web: WebServer, store: Store, jpeg: bytes
) -> None:
    web.pages = {f"/{n}.jpg": Page(jpeg + bytes([n])) for n in range(40)}
    web.pages["127.0.0.2/0.jpg"] = Page(b"", 429, {"Retry-After": "3600"})
    started = time.monotonic()
    take(store, [web.url("/1.jpg"), *(web.url(f"/{n}.jpg", "127.0.0.2") for n in range(40))])
    assert time.monotonic() - started < 4
    met = items(store)
    assert met[0].state == "stored"
    assert met[1].reason == "RATE_LIMITED"
    assert sum(item.reason == "RATE_LIMITED" for item in met) > 30
    assert "--update" in met[1].detail


def test_faults_pass_or_are_told(web: WebServer, store: Store, jpeg: bytes) -> None:
    web.pages = {
        "/once.jpg": [Page(status=500), Page(jpeg)],
        "/always.jpg": Page(status=502),
        "/cut.jpg": [Page(jpeg + b"1", cut=True), Page(jpeg + b"1")],
        "/cuts.jpg": Page(jpeg + b"2", cut=True),
    }
    take(store, map(web.url, web.pages))
    assert reasons(store) == {
        "once.jpg": "stored",
        "always.jpg": "refused SERVER_ERROR",
        "cut.jpg": "stored",
        "cuts.jpg": "refused NO_ANSWER",
    }
    assert [web.paths.count(path) for path in web.pages] == [2, 3, 2, 3]


def test_endless_and_huge_answers(
    web: WebServer, store: Store, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAGLOOM_URLS_ATTEMPTS", "1")
    monkeypatch.setenv("TAGLOOM_URLS_TRANSFER_S", "1")
    web.pages = {
        "/a.jpg": Page(jpeg),
        "/drip.jpg": Page(headers={"Content-Length": "1000000"}, drip_s=0.05),
        "/huge.jpg": Page(headers={"Content-Length": str(2**33)}),
        "/silent.jpg": Page(jpeg, seconds=8.0),
    }
    started = time.monotonic()
    take(store, map(web.url, web.pages))
    assert time.monotonic() - started < 6
    assert reasons(store) == {
        "a.jpg": "stored",
        "drip.jpg": "refused TIMED_OUT",
        "huge.jpg": "refused TOO_LARGE",
        "silent.jpg": "refused TIMED_OUT",
    }


def test_nobody_there(web: WebServer, store: Store, jpeg: bytes) -> None:
    web.pages = {"/a.jpg": Page(jpeg)}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    urls = [f"http://127.0.0.9:{port}/{n}.jpg" for n in range(60)]
    take(store, [web.url("/a.jpg"), *urls, "http://no-such-host.invalid/a.jpg"])
    met = items(store)
    assert met[0].state == "stored"
    assert {item.reason for item in met[1:-1]} == {"ROBOTS_UNKNOWN"}
    assert met[-1].reason == "HOST_NOT_FOUND"


def test_few_requests_to_one_host_at_once(
    web: WebServer, store: Store, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAGLOOM_URLS_PER_HOST", "2")
    web.pages = {f"/{n}.jpg": Page(jpeg + bytes([n]), seconds=0.03) for n in range(24)}
    hosts = ("127.0.0.1", "127.0.0.2")
    take(store, [web.url(f"/{n}.jpg", hosts[n % 2]) for n in range(24)])
    assert web.most_at_once == {"127.0.0.1": 2, "127.0.0.2": 2}


def test_a_crawl_delay_is_kept(web: WebServer, store: Store, jpeg: bytes) -> None:
    web.pages = {f"/{n}.jpg": Page(jpeg + bytes([n])) for n in range(4)}
    web.pages["/robots.txt"] = Page(b"User-agent: *\nCrawl-delay: 0.3\n")
    take(store, [web.url(f"/{n}.jpg") for n in range(4)])
    times = [seen.time for seen in web.requests if seen.path != "/robots.txt"]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert min(gaps[1:]) > 0.25
    assert web.most_at_once == {"127.0.0.1": 1}


_CHILD = """
import sys
from services.scraper.collect import CollectRequest, collect
from tagloom.artifacts.collection import UrlsSource
from tagloom.store import open_store
collect(open_store(sys.argv[1]), CollectRequest("x", UrlsSource(path=sys.argv[2])))
"""


def test_killed_it_goes_on_and_asks_for_little_twice(
    web: WebServer, store: Store, jpeg: bytes, tmp_path: Path
) -> None:
    number = 700
    web.pages = {f"/{n}.jpg": Page(jpeg + n.to_bytes(2)) for n in range(number)}
    listed = tmp_path / "urls.txt"
    listed.write_text("# photos\n\n" + "\n".join(web.url(f"/{n}.jpg") for n in range(number)))
    for _ in range(3):
        start = len(web.requests)
        process = subprocess.Popen([sys.executable, "-c", _CHILD, store.url, str(listed)])
        while process.poll() is None and len(web.requests) - start < 180:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
    made = collect(store, CollectRequest("x", UrlsSource(path=str(listed))))
    assert (made.stored, made.duplicates, made.refused) == (number, 0, 0)
    assert [item.source for item in items(store)] == [web.url(f"/{n}.jpg") for n in range(number)]
    # After each kill at most what was not in the journal: 100 and what was under way.
    assert len(web.paths) <= number + 3 * 150
    assert [info.key for info in store.iterate("collections/x/")] == [
        layout.collection_items("x"),
        layout.collection_manifest("x"),
    ]


def test_cancelled_it_goes_on(web: WebServer, store: Store, jpeg: bytes) -> None:
    web.pages = {f"/{n}.jpg": Page(jpeg + bytes([n])) for n in range(60)}
    request = CollectRequest("x", UrlsSource(), urls=tuple(map(web.url, web.pages)))

    def stop(phase: str, done: int, total: int, message: str = "") -> None:
        if done >= 20:
            raise Cancelled("Stop.", reason="CANCELLED")

    with pytest.raises(Cancelled):
        collect(store, request, stop)
    assert threading.active_count() < 40
    asked = len(web.paths)
    assert collect(store, request).stored == 60
    assert len(web.paths) - asked <= 40
    with pytest.raises(FailedPrecondition, match="list addresses of JPEG, PNG, WebP images"):
        take(store, [web.url("/none.jpg")], "y")


def test_the_certificate_must_be_the_names(
    store: Store,
    jpeg: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    web: WebServer,
) -> None:
    """HTTPS to the pinned address: the name is what the certificate is held against."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with WebServer() as secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        server: ThreadingHTTPServer = secure._server
        server.socket = context.wrap_socket(server.socket, server_side=True)
        secure.pages = {"/a.jpg": Page(jpeg)}
        made = take(store, [f"https://localhost:{secure.port}/a.jpg"])
        assert made.stored == 1
        monkeypatch.setenv("TAGLOOM_URLS_ATTEMPTS", "1")
        with pytest.raises(FailedPrecondition) as caught:
            take(store, [f"https://127.0.0.1:{secure.port}/a.jpg"], "y")
        assert caught.value.metadata["reasons"] == "ROBOTS_UNKNOWN"
    assert os.environ["SSL_CERT_FILE"]
