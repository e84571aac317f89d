"""Collects what the addresses of a list lead to, and goes on where it stopped."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

from services.scraper.intake import Film, Frames, Kept, Photo, Refusal
from services.scraper.journal import Journal
from services.scraper.ledger import Ledger
from services.scraper.traffic import TrafficLog
from services.scraper.web.addresses import BadAddress, parse
from services.scraper.web.fetch import Fetcher, Moved, Pause, Silence, Taken, Trouble
from services.scraper.web.hosts import Hosts, Task
from services.scraper.web.settings import WebSettings
from tagloom.progress import Report, Wait

__all__ = ["PASSING", "collect_urls"]

_SAVED = 100
"""addresses between two entries in the journal"""
_LOOK_S = 0.5

PASSING = frozenset(
    {
        *("SERVER_ERROR", "NO_ANSWER", "TIMED_OUT", "HOST_UNREACHABLE", "HOST_NOT_FOUND"),
        *("RATE_LIMITED", "ROBOTS_UNKNOWN"),
    }
)
"""reasons that may pass: an update asks again"""

_Result = tuple[str, Frames | Kept | Refusal, str]
"""address in the list, what became of it, where it was read from"""


def collect_urls(
    ledger: Ledger,
    journal: Journal,
    urls: Sequence[str],
    settings: WebSettings,
    traffic: TrafficLog,
    report: Report,
) -> None:
    """Fetches each address once, many at a time; those that the ledger has are not asked again.

    Items come in any order. Raises Cancelled, and what the store raises; an address that cannot be
    had is an item.
    """
    known = ledger.known
    wanted = [url for url in urls if url not in known]
    with ExitStack() as stack:
        work = _Work(ledger, settings, traffic)
        stack.callback(work.stop)
        work.start(wanted)
        done, saved = len(urls) - len(wanted), len(ledger.items)
        report("collect", done, len(urls))
        try:
            while done < len(urls):
                try:
                    result = work.results.get(timeout=_LOOK_S)
                except queue.Empty:
                    _tell_waiting(work.hosts, done, len(urls), report)
                    continue
                if isinstance(result, BaseException):
                    raise result
                source, what, address = result
                ledger.add(what, source=source, permalink=address if address != source else "")
                done += 1
                report("collect", done, len(urls), source)
                if len(ledger.items) - saved >= _SAVED:
                    journal.save(ledger.items[saved:])
                    saved = len(ledger.items)
        finally:
            work.stop()
            if len(ledger.items) > saved:
                journal.save(ledger.items[saved:])


def _tell_waiting(hosts: Hosts, done: int, total: int, report: Report) -> None:
    waiting = hosts.waiting()
    if waiting is None:
        report("collect", done, total)
    else:
        host, left_s = waiting
        until = datetime.now(UTC) + timedelta(seconds=left_s)
        message = f"{host} asked for a pause; going on at {until:%H:%M:%S} UTC"
        report("wait", done, total, message, wait=Wait("HOST_PAUSE", until))


class _Work:
    """Threads that fetch and store; what they come to is in `results`."""

    def __init__(self, ledger: Ledger, settings: WebSettings, traffic: TrafficLog) -> None:
        self.results: queue.SimpleQueue[_Result | BaseException] = queue.SimpleQueue()
        self.hosts = Hosts(settings)
        self._ledger = ledger
        self._settings = settings
        self._traffic = traffic
        self._threads: list[threading.Thread] = []
        self._fetcher: Fetcher | None = None

    def start(self, urls: Sequence[str]) -> None:
        """Begin with these."""
        self._fetcher = Fetcher(
            self._settings,
            self._traffic,
            self.hosts.introduce,
            films=self._ledger.wants_films,
        )
        tasks = []
        for url in urls:
            try:
                tasks.append(Task(url, url, parse(url).host))
            except BadAddress as error:
                self._end(url, Refusal("refused", error.reason, str(error)), url)
        self.hosts.add(tasks)
        for number in range(min(self._settings.parallel, len(tasks))):
            thread = threading.Thread(target=self._run, name=f"fetch-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End all threads, after the requests that are under way."""
        self.hosts.stop()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        if self._fetcher is not None:
            self._fetcher.close()
            self._fetcher = None

    def _run(self) -> None:
        try:
            while (found := self.hosts.next()) is not None:
                task, closed = found
                if closed is not None:
                    refusal = Refusal("refused", closed.reason, closed.detail)
                    self._end(task.source, refusal, task.url)
                    self.hosts.done(task)
                else:
                    self._step(task)
        except BaseException as error:  # the thread that waits for results raises it
            self.results.put(error)

    def _step(self, task: Task) -> None:
        assert self._fetcher is not None
        settings, hosts = self._settings, self.hosts
        match outcome := self._fetcher.fetch(task.url):
            case Taken(what, address):
                self._end(task.source, what, address)
                hosts.done(task)
            case Moved(target) if task.redirects < settings.redirects:
                hosts.moved(task, target.url, target.host)
            case Moved():
                detail = f"It was redirected more than {settings.redirects} times."
                refusal = Refusal("refused", "TOO_MANY_REDIRECTS", detail)
                self._end(task.source, refusal, task.url)
                hosts.done(task)
            case Pause(seconds):
                hosts.pause(task, seconds)
            case Trouble(refusal) if task.failures + 1 >= settings.attempts:
                self._end(task.source, refusal, task.url)
                hosts.done(task, silent=isinstance(outcome, Silence))
            case Trouble():
                wait_s = settings.retry_s * 2**task.failures
                if isinstance(outcome, Silence):
                    hosts.silent(task, wait_s)
                else:
                    hosts.again(task, wait_s)

    def _end(self, source: str, what: Photo | Film | Refusal, address: str) -> None:
        self.results.put((source, self._ledger.keep(what), address))
