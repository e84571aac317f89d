"""Whose turn it is: many hosts at once, each with few requests, pauses and no grudge.

Addresses wait in one queue a host. A host that asks for a pause gets it while the others go on;
one that asks for too long, or that nobody answers at, is left alone for the rest of the work.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from services.scraper.web.settings import WebSettings

__all__ = ["Closed", "Hosts", "Task"]

_SILENT = 20
"""requests in a row without any answer, after which a host is left"""


@dataclass(slots=True)
class Task:
    """An address of the list, and how far it has come."""

    source: str
    """as the list has it"""
    url: str
    """where it is now, redirects followed"""
    host: str
    redirects: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Closed:
    """Why a host is left alone."""

    reason: str
    detail: str


@dataclass(slots=True)
class _Host:
    name: str
    queue: deque[Task] = field(default_factory=deque)
    active: int = 0
    not_before: float = 0.0
    delay_s: float = 0.0
    pauses: int = 0
    """asked for in a row"""
    silent: int = 0
    closed: Closed | None = None
    known: bool = False
    """whether its robots.txt was read"""
    listed: bool = False
    """whether it is in the heap"""


class Hosts:
    """Hands out tasks. Safe to share by threads."""

    def __init__(self, settings: WebSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._hosts: dict[str, _Host] = {}
        self._heap: list[tuple[float, int, _Host]] = []
        self._numbers = itertools.count()
        self._unfinished = 0
        self._stopped = False
        self._change = threading.Condition()

    def add(self, tasks: Iterable[Task]) -> None:
        """More to do, in this order for each host."""
        with self._change:
            for task in tasks:
                host = self._host(task.host)
                host.queue.append(task)
                self._unfinished += 1
                self._list(host)
            self._change.notify_all()

    def next(self) -> tuple[Task, Closed | None] | None:
        """The next task, and why its host is closed, if it is; waits; None when all is done.

        Each task that was handed out must come back through `done`, `again` or `moved`.
        """
        with self._change:
            while not self._stopped and self._unfinished:
                left_s = self._left_s()
                if left_s is not None and left_s <= 0:
                    return self._take()
                self._change.wait(left_s)
            return None

    def done(self, task: Task, *, silent: bool = False) -> None:
        """The task came to its end; silent: for want of any answer."""
        with self._change:
            host = self._leave(task)
            if silent:
                self._not_heard(host)
            else:
                host.pauses = host.silent = 0
            self._unfinished -= 1
            # Whoever is done comes for the next one themselves: nobody else need wake up for it.
            if not self._unfinished or host.closed is not None:
                self._change.notify_all()

    def moved(self, task: Task, url: str, host: str) -> None:
        """The task goes on elsewhere (a redirect)."""
        with self._change:
            self._leave(task)
            task.url, task.host, task.redirects = url, host, task.redirects + 1
            there = self._host(host)
            there.queue.appendleft(task)
            self._list(there)
            self._change.notify_all()

    def again(self, task: Task, wait_s: float) -> None:
        """The task failed in a way that may pass: later, and the host rests for a moment."""
        with self._change:
            host = self._leave(task)
            task.failures += 1
            host.queue.append(task)
            self._rest(host, wait_s)

    def pause(self, task: Task, asked_s: float | None) -> None:
        """The host asked for a pause, for so long if it said so; the task comes again."""
        with self._change:
            host = self._leave(task)
            host.queue.appendleft(task)
            longest = self._settings.max_wait_s
            if asked_s is None:
                asked_s = min(self._settings.cooldown_s * 2**host.pauses, longest)
                host.pauses += 1
                if host.pauses > 5:
                    asked_s = longest + 1
            if asked_s > longest:
                host.closed = Closed(
                    "RATE_LIMITED",
                    f"{host.name} limits the requests; collect with --update later on.",
                )
                asked_s = 0.0
            self._rest(host, asked_s)

    def silent(self, task: Task, wait_s: float) -> None:
        """As `again`; the host did not answer at all."""
        with self._change:
            self._not_heard(self._host(task.host))
        self.again(task, wait_s)

    def introduce(self, name: str, delay_s: float) -> None:
        """The host's robots.txt was read, and wants so many seconds between two requests.

        Before, it gets one request at a time.
        """
        with self._change:
            host = self._host(name)
            host.delay_s = max(delay_s, host.delay_s)
            host.known = True
            self._list(host)
            self._change.notify_all()

    def stop(self) -> None:
        """Hand out nothing more."""
        with self._change:
            self._stopped = True
            self._change.notify_all()

    def waiting(self) -> tuple[str, float] | None:
        """If everybody waits: the host that is next, and in how many seconds."""
        with self._change:
            if any(host.active for host in self._hosts.values()):
                return None
            left_s = self._left_s()
            return None if left_s is None or left_s <= 0 else (self._heap[0][2].name, left_s)

    def _host(self, name: str) -> _Host:
        if name not in self._hosts:
            self._hosts[name] = _Host(name, delay_s=self._settings.delay_s)
        return self._hosts[name]

    def _left_s(self) -> float | None:
        return max(0.0, self._heap[0][0] - self._clock()) if self._heap else None

    def _take(self) -> tuple[Task, Closed | None]:
        _, _, host = heapq.heappop(self._heap)
        host.listed = False
        task = host.queue.popleft()
        host.active += 1
        if host.closed is None:
            host.not_before = max(host.not_before, self._clock() + host.delay_s)
        self._list(host)
        return task, host.closed

    def _list(self, host: _Host) -> None:
        """Into the heap, if there is something to hand out."""
        free = host.closed is not None or (host.known and not host.delay_s)
        limit = self._settings.per_host if free else 1
        if host.listed or not host.queue or host.active >= limit:
            return
        heapq.heappush(self._heap, (host.not_before, next(self._numbers), host))
        host.listed = True

    def _leave(self, task: Task) -> _Host:
        host = self._hosts[task.host]
        host.active -= 1
        self._list(host)
        return host

    def _rest(self, host: _Host, wait_s: float) -> None:
        host.not_before = self._clock() + wait_s if host.closed is None else 0.0
        if host.listed:  # under its old time
            self._heap = [entry for entry in self._heap if entry[2] is not host]
            heapq.heapify(self._heap)
            host.listed = False
        self._list(host)
        self._change.notify_all()

    def _not_heard(self, host: _Host) -> None:
        host.silent += 1
        if host.silent >= _SILENT and host.closed is None:
            detail = f"{host.name} did not answer {_SILENT} times in a row."
            host.closed = Closed("HOST_UNREACHABLE", detail)
