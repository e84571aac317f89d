"""One address, asked for once: the image, why not, or what to do about it later."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import RemoteDisconnected

import urllib3
from urllib3.exceptions import HTTPError, ProtocolError

from services.scraper.intake import MAX_IMAGE_BYTES, Film, Photo, Refusal, judge, too_large
from services.scraper.signatures import HEAD_BYTES, identify
from services.scraper.traffic import TrafficLog
from services.scraper.web.addresses import BadAddress, Resolver, Target, parse, redirected
from services.scraper.web.connections import Connections
from services.scraper.web.manners import MAX_ROBOTS_BYTES, Rules, opted_out
from services.scraper.web.settings import WebSettings

__all__ = ["Fetcher", "Moved", "Pause", "Silence", "Taken", "Trouble"]

_CHUNK = 65536
_LARGE_BYTES = 8 * 2**20
_LARGE_AT_ONCE = 4
_GONE = (404, 410)
_FORBIDDEN = (401, 402, 403, 407, 451)


@dataclass(frozen=True, slots=True)
class Taken:
    """The end of it: a photo, or why there is none."""

    what: Photo | Film | Refusal
    address: str
    """where it was read from"""


@dataclass(frozen=True, slots=True)
class Moved:
    """It lies elsewhere now."""

    target: Target


@dataclass(frozen=True, slots=True)
class Pause:
    """The host wants a pause; None: it does not say how long."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Trouble:
    """The host has a fault that may pass."""

    refusal: Refusal
    """what to say if it does not pass"""


@dataclass(frozen=True, slots=True)
class Silence(Trouble):
    """No answer, or none that came to its end."""


Outcome = Taken | Moved | Pause | Trouble


class Fetcher:
    """Sends requests. Safe to share by threads; close it."""

    def __init__(
        self,
        settings: WebSettings,
        traffic: TrafficLog,
        introduce: Callable[[str, float], None] = lambda host, delay_s: None,
        *,
        films: bool = False,
    ) -> None:
        """`introduce` is told how many seconds a host wants between two requests. `films`: whole
        videos are wanted, too."""
        self._wanted = ("photo", "video") if films else ("photo",)
        self._introduce = introduce
        self._settings = settings
        self._traffic = traffic
        self._resolver = Resolver(settings.allow)
        self._connections = Connections(settings)
        self._headers = {"User-Agent": settings.user_agent, "Accept-Encoding": "identity"}
        self._rules: dict[str, Rules | Taken] = {}
        self._unknown: Counter[str] = Counter()
        self._origins: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        # A thread each may hold a common photo; only so many hold a large one.
        self._large = threading.BoundedSemaphore(_LARGE_AT_ONCE)

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    def fetch(self, url: str) -> Outcome:
        """Ask for it, unless its site's robots.txt forbids it. Never raises."""
        try:
            target = parse(url)
            rules = self.rules(target)
            if not isinstance(rules, Rules):
                return rules
            if not rules.allow(target.url):
                detail = f"robots.txt of {target.origin} asks programs not to fetch it."
                return Taken(Refusal("refused", "ROBOTS_DISALLOWED", detail), url)
            return self._ask(target)
        except BadAddress as error:
            self._traffic.request("url", error.reason.lower())
            return Taken(Refusal("refused", error.reason, str(error)), url)

    def rules(self, target: Target) -> Rules | Outcome:
        """What the robots.txt of the address's site says, asked for once; or why nobody knows.

        Without one (4xx) everything is allowed; without an answer, nothing (RFC 9309, 2.3.1).
        Raises BadAddress for the site.
        """
        origin = target.origin
        with self._lock:
            lock = self._origins.setdefault(origin, threading.Lock())
        with lock:
            if (known := self._rules.get(origin)) is not None:
                return known
            found = self._ask_rules(parse(f"{origin}/robots.txt"))
            if isinstance(found, Rules):
                self._rules[origin] = found
                self._introduce(target.host, found.delay_s)
            elif isinstance(found, Trouble):
                self._unknown[origin] += 1
                if self._unknown[origin] >= self._settings.attempts:
                    self._rules[origin] = Taken(found.refusal, target.url)
            return found

    def _ask_rules(self, target: Target) -> Rules | Pause | Trouble:
        first = target.origin
        for _ in range(self._settings.redirects + 1):
            try:
                with self._answer(target, "robots") as answer:
                    status = answer.status
                    if 300 <= status < 400 and answer.headers.get("location"):
                        target = redirected(target, answer.headers["location"])
                        continue
                    if status == 200:
                        return Rules.parse(_read_up_to(answer, MAX_ROBOTS_BYTES))
                    if status == 429:
                        return Pause(_retry_after(answer))
                    if status >= 500:
                        return Trouble(_unknown_rules(first, f"it answered {status}"))
                    return Rules(None)
            except HTTPError as error:
                return Silence(_unknown_rules(first, _why(error)))
            except BadAddress as error:
                if target.origin == first:
                    raise
                return Trouble(_unknown_rules(first, str(error).rstrip(".")))
        return Rules(None)  # redirected again and again: as if there were none (2.3.1.2)

    def _ask(self, target: Target) -> Outcome:
        started = time.monotonic()
        try:
            with self._answer(target, "url") as answer:
                return self._judge(target, answer)
        except HTTPError as error:
            late = time.monotonic() - started >= self._settings.transfer_s
            why = f"not whole after {self._settings.transfer_s:g} s" if late else _why(error)
            reason = "TIMED_OUT" if late else "NO_ANSWER"
            detail = f"{target.host} did not answer ({why})."
            return Silence(Refusal("refused", reason, detail))

    def _judge(self, target: Target, answer: urllib3.BaseHTTPResponse) -> Outcome:
        status, headers = answer.status, answer.headers
        if status == 200:
            if directive := opted_out(headers.getlist("x-robots-tag")):
                detail = f"{target.host} asks programs not to use it (X-Robots-Tag: {directive})."
                return Taken(Refusal("refused", "ROBOTS_TAG", detail), target.url)
            return Taken(self._read(target, answer), target.url)
        if status in (301, 302, 303, 307, 308) and headers.get("location"):
            return Moved(redirected(target, headers["location"]))
        if status == 429 or (status == 503 and headers.get("retry-after")):
            return Pause(_retry_after(answer))
        if status >= 500:
            detail = f"{target.host} has a fault ({status})."
            return Trouble(Refusal("refused", "SERVER_ERROR", detail))
        reason = (
            "GONE" if status in _GONE else "FORBIDDEN" if status in _FORBIDDEN else "HTTP_ERROR"
        )
        detail = f"{target.host} answered {status} {answer.reason or ''}".rstrip() + "."
        return Taken(Refusal("refused", reason, detail), target.url)

    def _read(self, target: Target, answer: urllib3.BaseHTTPResponse) -> Photo | Film | Refusal:
        time_ = _time(answer.headers.get("last-modified", ""))
        name = target.path.partition("?")[0]
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            detail = "It is sent compressed, though that was not asked for."
            return Refusal("refused", "HTTP_ERROR", detail)
        announced = int(answer.headers.get("content-length") or 0)
        if announced > MAX_IMAGE_BYTES:
            return too_large(announced, time_)
        body, large = bytearray(), False
        try:
            while chunk := answer.read1(_CHUNK):
                body += chunk
                if len(body) > MAX_IMAGE_BYTES:
                    return too_large(len(body), time_)
                if len(body) - len(chunk) < HEAD_BYTES <= len(body):
                    head = bytes(body[:HEAD_BYTES])
                    if identify(head).kind not in self._wanted:  # no need for the rest
                        return judge(head, size=announced or len(body), time=time_, name=name)
                if len(body) > _LARGE_BYTES and not large:
                    self._large.acquire()
                    large = True
            if len(body) < announced:
                raise ProtocolError(f"{len(body)} of {announced} bytes came")
            return judge(bytes(body), size=len(body), time=time_, name=name)
        finally:
            if large:
                self._large.release()

    @contextmanager
    def _answer(self, target: Target, kind: str) -> Iterator[urllib3.BaseHTTPResponse]:
        """The answer to one request; afterwards its connection is free, or closed."""
        address = self._resolver.resolve(target)
        try:
            try:
                answer = self._connections.get(target, address, self._headers)
            except ProtocolError as error:
                if not any(isinstance(part, RemoteDisconnected) for part in error.args):
                    raise
                # A kept connection that the host had let go: not a failure, ask on a new one.
                answer = self._connections.get(target, address, self._headers)
        except HTTPError:
            self._traffic.request(kind, "unreachable")
            raise
        self._traffic.request(kind, _outcome(answer.status))
        try:
            yield answer
            if not _drained(answer):
                answer.close()
        except BaseException:
            answer.close()
            raise
        finally:
            answer.release_conn()


def _drained(answer: urllib3.BaseHTTPResponse) -> bool:
    """Whether the whole body was read, reading a little more if need be."""
    try:
        return not answer.read1(_CHUNK) or not answer.read1(_CHUNK)
    except HTTPError:
        return False


def _read_up_to(answer: urllib3.BaseHTTPResponse, limit: int) -> bytes:
    body = bytearray()
    while len(body) < limit and (chunk := answer.read1(_CHUNK)):
        body += chunk
    return bytes(body)


def _unknown_rules(origin: str, why: str) -> Refusal:
    detail = f"robots.txt of {origin} could not be read ({why}), so nothing there is fetched."
    return Refusal("refused", "ROBOTS_UNKNOWN", detail)


def _why(error: HTTPError) -> str:
    return type(error).__name__.removesuffix("Error").lower() or "no answer"


def _retry_after(answer: urllib3.BaseHTTPResponse) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3), if there is a sensible one."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    time_ = _time(text)
    return None if time_ is None else max(0.0, (time_ - datetime.now(UTC)).total_seconds())


def _time(text: str) -> datetime | None:
    try:
        time_ = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return time_ if time_.tzinfo else time_.replace(tzinfo=UTC)


def _outcome(status: int) -> str:
    if status < 300:
        return "ok"
    if status < 400:
        return "redirect"
    return {403: "forbidden", 404: "not_found", 429: "rate_limited"}.get(
        status, "client_error" if status < 500 else "server_error"
    )
