"""One attempt at an operation, as its handler sees it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

from tagloom.errors import Cancelled
from tagloom.progress import Wait
from tagloom.rpc.records import Record
from tagloom.rpc.workers import Workers
from tagloom.store.fenced import FencedStore

__all__ = ["Job", "Stop"]

R = TypeVar("R")


class Stop(StrEnum):
    """Why a running job is asked to stop."""

    CANCEL = "cancel"
    """somebody called CancelOperation"""
    HAND_BACK = "hand back"
    """this server shuts down; another one, or this one after its restart, goes on"""
    LOST = "lost"
    """the lease is somebody else's now: nothing may be written any more"""


class Job:
    """Lent to a handler while it works on one operation under one lease."""

    def __init__(self, record: Record, store: FencedStore, workers: Workers) -> None:
        self.name = record.name
        """resource name of the operation"""
        self.target = record.target
        """the resource that it makes or changes, as given to `Operations.start`"""
        self.attempt = record.attempts
        """1 for the first owner, more after a crash or a restart"""
        self.store = store
        """the object store, refusing writes once the lease is lost; blocking"""
        self.fence = store.fence
        """fencing number of the lease, for documents that are swapped"""
        self.stop: Stop | None = None
        """why to stop; None while all is well"""
        self.stopping = asyncio.Event()
        """set together with `stop`, for handlers that wait for something"""
        self._workers = workers
        self._phase_started: tuple[str, int, float] = ("", 0, 0.0)
        self.phase, self.done, self.total, self.message = "running", 0, 0, ""
        self.wait: Wait | None = None
        self.changed = False
        """whether there is progress that the record does not show yet"""

    def report(
        self, phase: str, done: int, total: int, message: str = "", *, wait: Wait | None = None
    ) -> None:
        """A `tagloom.progress.Report`. Raises Cancelled when the job was asked to stop."""
        self.note(phase, done, total, message, wait=wait)
        if self.stop is not None:
            raise Cancelled("The operation was asked to stop.", reason="CANCELLED")

    def note(
        self, phase: str, done: int, total: int, message: str = "", *, wait: Wait | None = None
    ) -> None:
        """`report` that never raises, for callbacks."""
        if phase != self._phase_started[0]:
            self._phase_started = (phase, done, time.monotonic())
        self.phase, self.done, self.total = phase, done, total
        self.message = message or self.message
        self.wait = wait
        self.changed = True

    @property
    def eta_s(self) -> float | None:
        """Seconds until the phase ends if it goes on as it did; None before that can be said."""
        _, first_done, started = self._phase_started
        elapsed_s, advanced = time.monotonic() - started, self.done - first_done
        if self.total <= 0 or advanced <= 0 or elapsed_s < 1.0:
            return None
        return max(0.0, (self.total - self.done) * elapsed_s / advanced)

    def ask_to_stop(self, why: Stop) -> None:
        """Make `report` raise, here and in the worker. A lost lease outranks the other reasons."""
        if self.stop is None or why is Stop.LOST:
            self.stop = why
        self.stopping.set()

    async def run_in_worker(self, function: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """`function(store, *args, report=report, **kwargs)` in a worker process.

        The function is a picklable top-level one; over there the store is opened anew, fenced by
        this job's lease. It must be resumable: run again after a kill at any point, it comes to
        the same result. Raises what it raises, and what `Workers.run` adds.
        """
        return await self._workers.run(
            function, self.store, *args, report=self.note, cancel=self.stopping, **kwargs
        )
