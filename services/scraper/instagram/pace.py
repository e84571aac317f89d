"""Waiting, in the open: every pause can be watched, and ends when somebody cancels."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from instaloader import InstaloaderContext, RateController

from services.scraper.traffic import TrafficLog
from tagloom.progress import Report, Wait

__all__ = ["History", "Pace", "Waiter"]

_SLICE_S = 0.5
_WORTH_TELLING_S = 5.0
_CODES = {
    "pause": "REQUEST_PAUSE",
    "budget": "REQUEST_BUDGET",
    "retry": "INSTAGRAM_UNAVAILABLE",
    "account": "ACCOUNT_IN_USE",
}


class Waiter:
    """Sleeps in slices, telling `report` why and until when."""

    def __init__(
        self,
        report: Report,
        traffic: TrafficLog,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._report = report
        self._traffic = traffic
        self._sleep = sleep
        self.done, self.total = 0, 0
        """posts taken, and expected"""
        self.images = 0
        """images taken of these posts"""

    def progress(self, message: str = "") -> None:
        """Tell how far the collecting is. Raises Cancelled."""
        self._report("collect", self.done, self.total, message)

    def pause(self, until: datetime) -> None:
        """Instagram is not to be asked before then; for the metric, which shows it at once."""
        self._traffic.pause(until)

    def wait(self, seconds: float, reason: str, why: str, code: str = "") -> None:
        """Waits. Raises Cancelled.

        reason: for the metric: pause, budget, rate_limit, retry, account; why: the beginning of a
        sentence; code: UPPER_SNAKE_CASE, for programs, where the reason alone does not tell.
        """
        if seconds <= 0:
            return
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        message = f"{why}; going on at {until:%H:%M:%S} UTC"
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if seconds >= _WORTH_TELLING_S or reason != "pause":
                self._tell(message, code or _CODES[reason], until)
            else:
                self.progress()
            self._sleep(min(left, _SLICE_S))
        self._traffic.wait(reason, seconds)

    def stand_by(self, seconds: float, why: str) -> None:
        """Waits a moment for something whose end nobody knows. Raises Cancelled."""
        self._tell(why, _CODES["account"], None)
        self._sleep(seconds)
        self._traffic.wait("account", seconds)

    def _tell(self, message: str, code: str, until: datetime | None) -> None:
        posts = max(0, self.total - self.done)
        a_post = self.images / self.done if self.done else 1.0
        wait = Wait(code, until, posts, round(posts * a_post)) if self.total else Wait(code, until)
        self._report("wait", self.done, self.total, message, wait=wait)


class History(Protocol):
    """What was asked before, by anybody, in the name of the same account (`account.Account`)."""

    generation: int

    @property
    def requests(self) -> dict[str, tuple[datetime, ...]]:
        """Times by kind of query."""

    def hold(self) -> None:
        """Make sure that the account is ours."""

    def note_request(self, kind: str) -> None:
        """A query is about to be sent."""


class Pace(RateController):
    """Instaloader's own sliding windows of requests, begun with the account's history instead of
    empty, and waited out through a `Waiter`."""

    def __init__(
        self, context: InstaloaderContext, waiter: Waiter, history: History, budget: float = 1.0
    ) -> None:
        """`budget`: share of the limits that is used."""
        super().__init__(context)
        self._budget = budget
        self._waiter = waiter
        self._history = history
        self._generation = -1

    def wait_before_query(self, query_type: str) -> None:
        """Called by Instaloader before each query."""
        self._history.hold()
        if self._generation != self._history.generation:
            self._generation = self._history.generation
            # Instaloader counts on this process's monotonic clock.
            to_monotonic = time.monotonic() - time.time()
            self._query_timestamps = {
                kind: [when.timestamp() + to_monotonic for when in times]
                for kind, times in self._history.requests.items()
            }
        super().wait_before_query(query_type)
        self._history.note_request(query_type)

    def query_waittime(
        self, query_type: str, current_time: float, untracked_queries: bool = False
    ) -> float:
        """Seconds until a query of that kind is within the limits."""
        real = self._query_timestamps
        # The windows are Instaloader's constants: half the budget is time that runs half as fast.
        self._query_timestamps = {
            kind: [current_time - (current_time - time) * self._budget for time in times]
            for kind, times in real.items()
        }
        try:
            wait_s: float = super().query_waittime(query_type, current_time, untracked_queries)
        finally:
            self._query_timestamps = real
        return wait_s / self._budget

    def sleep(self, secs: float) -> None:
        """Called by Instaloader before a request that would come too early."""
        self._waiter.wait(secs, "budget", "keeping below Instagram's limit on requests")
