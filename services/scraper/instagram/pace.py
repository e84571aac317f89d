"""Waiting, in the open: every pause can be watched, and ends when somebody cancels."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from instaloader import InstaloaderContext, RateController

from services.scraper.traffic import TrafficLog
from tagloom.progress import Report

__all__ = ["Pace", "Waiter"]

_SLICE_S = 0.5
_WORTH_TELLING_S = 5.0


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

    def progress(self, message: str = "") -> None:
        """Tell how far the collecting is. Raises Cancelled."""
        self._report("collect", self.done, self.total, message)

    def pause(self, until: datetime) -> None:
        """Instagram is not to be asked before then; for the metric, which shows it at once."""
        self._traffic.pause(until)

    def wait(self, seconds: float, reason: str, why: str) -> None:
        """Waits. reason: for the metric; why: the beginning of a sentence. Raises Cancelled."""
        if seconds <= 0:
            return
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        message = f"{why}; going on at {until:%H:%M:%S} UTC"
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if seconds >= _WORTH_TELLING_S or reason != "pause":
                self._report("wait", self.done, self.total, message)
            else:
                self.progress()
            self._sleep(min(left, _SLICE_S))
        self._traffic.wait(reason, seconds)


class Pace(RateController):
    """Instaloader's own sliding windows of requests, waited out through a `Waiter`."""

    def __init__(self, context: InstaloaderContext, waiter: Waiter) -> None:
        super().__init__(context)
        self._waiter = waiter

    def sleep(self, secs: float) -> None:
        """Called by Instaloader before a request that would come too early."""
        self._waiter.wait(secs, "rate_limit", "keeping below Instagram's limit on requests")
