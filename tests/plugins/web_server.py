"""A small real web: hosts of loopback that answer as told, and note every request."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Page", "Seen", "WebServer"]


@dataclass(frozen=True)
class Page:
    """What lies under a path."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    """before the answer"""
    drip_s: float = 0.0
    """between single bytes of the body, for ever"""
    cut: bool = False
    """the connection ends in the middle of the body"""


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    host: str
    path: str
    headers: Mapping[str, str]
    time: float


class WebServer:
    """Serves `pages` on all of loopback's addresses; use as a context manager.

    `pages`: by path, or by host and path (`"127.0.0.2/a.jpg"`), which comes first. A list of pages
    is given out one by one, its last for ever.
    """

    def __init__(self) -> None:
        self.pages: dict[str, Page | list[Page]] = {}
        self.requests: list[Seen] = []
        self.at_once: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"web": self})
        self._server = _Server(("0.0.0.0", 0), handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    def __enter__(self) -> WebServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    @property
    def paths(self) -> list[str]:
        """Paths asked for, robots.txt left out."""
        return [seen.path for seen in self.requests if seen.path != "/robots.txt"]

    def answer(self, seen: Seen) -> Page:
        with self._lock:
            self.requests.append(seen)
            page = self.pages.get(seen.host + seen.path) or self.pages.get(seen.path)
            if isinstance(page, list):
                page = page.pop(0) if len(page) > 1 else page[0]
        return page or Page(b"nothing here", 404)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    web: WebServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        host = self.headers["Host"].rpartition(":")[0] or self.headers["Host"]
        web = self.web
        with web._lock:
            web.at_once[host] += 1
            web.most_at_once[host] = max(web.most_at_once[host], web.at_once[host])
        try:
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._send(web.answer(Seen(host, self.path, headers, time.monotonic())))
        except OSError:  # the client went away, as clients may
            self.close_connection = True
        finally:
            with web._lock:
                web.at_once[host] -= 1

    def _send(self, page: Page) -> None:
        time.sleep(page.seconds)
        self.send_response(page.status)
        fields = {"Content-Length": str(len(page.body)), **page.headers}
        for name, value in fields.items():
            for line in value.split("\n"):
                self.send_header(name, line)
        self.end_headers()
        if page.drip_s:
            while True:
                self.wfile.write(b"\xff")
                time.sleep(page.drip_s)
        if page.cut:
            self.wfile.write(page.body[: len(page.body) // 2])
            self.close_connection = True
            return
        self.wfile.write(page.body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: `requests` has it all."""
