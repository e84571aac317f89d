"""What this process asks of object stores, counted where no caller can forget it.

One tally for the process, as there is one network behind all its stores. A process that nobody
scrapes (a worker) takes its numbers now and then and sends them to one that is scraped, which adds
them to its own; `tagloom.rpc.metrics` shows them.
"""

from __future__ import annotations

import bisect
import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from tagloom.errors import (
    PermissionDenied,
    ResourceExhausted,
    TagloomError,
    Unauthenticated,
    Unavailable,
)

__all__ = ["BUCKETS_S", "FAILURES", "REQUESTS", "TALLY", "Counted", "Failure", "Request", "Tally"]

Request = Literal["get", "head", "list", "put", "put_file", "delete"]
Failure = Literal["unavailable", "full", "denied", "refused"]
REQUESTS: Final[tuple[Request, ...]] = ("get", "head", "list", "put", "put_file", "delete")
FAILURES: Final[tuple[Failure, ...]] = ("unavailable", "full", "denied", "refused")
"""what is the store's fault, or its configuration's: a missing object or an unmet precondition is
an answer, and a wrong key the caller's mistake"""
BUCKETS_S: Final = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""upper limits of the classes of duration"""


@dataclass(slots=True)
class Timing:
    """How long requests of one kind took."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    """requests in each class of `BUCKETS_S`, and in the one above the last"""
    seconds: float = 0.0
    """of all together"""


@dataclass(slots=True)
class Counted:
    """Plain numbers, fit to be sent to another process."""

    timings: dict[Request, Timing] = field(default_factory=dict)
    """failed requests are among them"""
    failures: dict[tuple[Request, Failure], int] = field(default_factory=dict)
    retries: int = 0
    """requests that were sent again"""

    def __bool__(self) -> bool:
        return bool(self.timings or self.retries)

    def add(self, other: Counted) -> None:
        """Adds the numbers of `other`."""
        for request, timing in other.timings.items():
            own = self.timings.setdefault(request, Timing())
            own.counts = [a + b for a, b in zip(own.counts, timing.counts, strict=True)]
            own.seconds += timing.seconds
        for key, count in other.failures.items():
            self.failures[key] = self.failures.get(key, 0) + count
        self.retries += other.retries


class Tally:
    """Counts from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted = Counted()

    @contextlib.contextmanager
    def timed(self, request: Request) -> Iterator[None]:
        """Counts what happens inside as one request, by its time and by how it ends.

        Also a decorator. Not to be nested: the request inside would count twice.
        """
        started = time.perf_counter()
        failure: Failure | None = None
        try:
            yield
        except Exception as error:
            failure = failure_of(error)
            raise
        finally:
            seconds = time.perf_counter() - started
            with self._lock:
                timing = self._counted.timings.setdefault(request, Timing())
                timing.counts[bisect.bisect_left(BUCKETS_S, seconds)] += 1
                timing.seconds += seconds
                if failure is not None:
                    key = (request, failure)
                    self._counted.failures[key] = self._counted.failures.get(key, 0) + 1

    def retried(self) -> None:
        """A request is sent again."""
        with self._lock:
            self._counted.retries += 1

    def add(self, counted: Counted) -> None:
        """Adds what another process has counted."""
        with self._lock:
            self._counted.add(counted)

    def read(self) -> Counted:
        """All that was counted, as a copy."""
        copy = Counted()
        with self._lock:
            copy.add(self._counted)
        return copy

    def take(self) -> Counted:
        """All that was counted since the last call, to be sent elsewhere; counts from 0 again."""
        with self._lock:
            taken, self._counted = self._counted, Counted()
        return taken


def failure_of(error: Exception) -> Failure | None:
    """Whose fault an error is, as a label; None where the store did what it should."""
    if not isinstance(error, TagloomError):
        return "refused"  # nobody meant it: a bug of ours or of the client
    if not error.reason.startswith("STORE_"):
        return None
    match error:
        case Unavailable():
            return "unavailable"
        case ResourceExhausted():
            return "full"
        case PermissionDenied() | Unauthenticated():
            return "denied"
    return "refused"


TALLY: Final = Tally()
"""this process's"""
