"""The inside of a worker process.

A fresh interpreter, never a fork: gRPC's threads do not survive one. The parent sends calls over
a pipe, one at a time; this side sends progress and then the outcome. It dies with its parent,
whichever way that dies.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

from tagloom.errors import Cancelled, TagloomError
from tagloom.lifeline import die_with_parent
from tagloom.progress import Report, Wait
from tagloom.rpc.logs import configure_logging
from tagloom.store.tally import TALLY, Counted

__all__ = [
    "CANCEL",
    "Call",
    "Crash",
    "Done",
    "Failed",
    "Outcome",
    "Progress",
    "StoreCalls",
    "main",
]

CANCEL = b""
"""What the parent sends to stop the running call; anything else is a pickled `Call`."""

_REPORT_INTERVAL_S = 0.1
_TALLY_INTERVAL_S = 5.0


@dataclass(frozen=True, slots=True)
class Call:
    """Parent to worker: call `function(*args, **kwargs)`, plus `report=` where it is wanted."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    wants_report: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """Worker to parent, as often as is worth it."""

    phase: str
    done: int
    total: int
    message: str
    wait: Wait | None = None


@dataclass(frozen=True, slots=True)
class StoreCalls:
    """Worker to parent, for its metrics: what was asked of the store since the last one."""

    counted: Counted


@dataclass(frozen=True, slots=True)
class Done:
    """The call returned."""

    result: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The call raised a deliberate error."""

    error: TagloomError


@dataclass(frozen=True, slots=True)
class Crash:
    """The call raised something nobody meant; for the parent's log."""

    kind: str
    traceback: str


Outcome = Done | Failed | Crash


class _Inbox(threading.Thread):
    """Reads the pipe all the time: a cancel must arrive while a call runs."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        super().__init__(name="inbox", daemon=True)
        self._connection = connection
        self.calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.cancelled = threading.Event()

    def run(self) -> None:
        while True:
            try:
                message = self._connection.recv_bytes()
            except (EOFError, OSError):
                os._exit(0)  # the parent is gone or has let go: also of a call in native code
            if message == CANCEL:
                self.cancelled.set()
            else:
                self.cancelled.clear()
                self.calls.put(message)


def _reporter(connection: Connection[Any, Any], cancelled: threading.Event) -> Report:
    last_phase, last_time, last_tally, untold = "", 0.0, time.monotonic(), ""

    def report(
        phase: str, done: int, total: int, message: str = "", *, wait: Wait | None = None
    ) -> None:
        nonlocal last_phase, last_time, last_tally, untold
        if cancelled.is_set():
            raise Cancelled("The work was asked to stop.", reason="CANCELLED")
        now = time.monotonic()
        # Thousands of reports a second cost the parent more than they tell anybody. Numbers are
        # soon followed by newer ones; a message is not, so it goes with the next report.
        untold = message or untold
        if phase == last_phase and done != total and now - last_time < _REPORT_INTERVAL_S:
            return
        last_phase, last_time = phase, now
        if now - last_tally >= _TALLY_INTERVAL_S:
            last_tally = now
            _send_tally(connection)
        connection.send(Progress(phase, int(done), int(total), str(untold), wait))
        untold = ""

    return report


def _send_tally(connection: Connection[Any, Any]) -> None:
    if counted := TALLY.take():
        connection.send(StoreCalls(counted))


def _execute(message: bytes, report: Report) -> Outcome:
    try:
        call: Call = ForkingPickler.loads(message)
        extra = {"report": report} if call.wants_report else {}
        return Done(call.function(*call.args, **call.kwargs, **extra))
    except TagloomError as error:
        return Failed(error)
    except BaseException as error:
        return Crash(type(error).__name__, traceback.format_exc())


def _answer(connection: Connection[Any, Any], outcome: Outcome) -> None:
    try:
        connection.send(outcome)
    except BrokenPipeError:
        raise
    except Exception as error:  # a result that cannot be pickled
        connection.send(Crash(type(error).__name__, traceback.format_exc()))


def _let_parent_decide(*_: object) -> None:
    """Handler of SIGTERM and SIGINT. Ignoring them outright would be inherited by programs that
    a call starts (torchrun), which could then not be stopped gently."""


def main(descriptor: int, parent: int, log_format: str, log_level: str) -> None:
    """Serve calls until the parent closes the pipe."""
    die_with_parent(parent)
    signal.signal(signal.SIGINT, _let_parent_decide)
    signal.signal(signal.SIGTERM, _let_parent_decide)
    configure_logging(log_format, log_level)
    logging.captureWarnings(True)
    connection: Connection[Any, Any] = Connection(descriptor)
    inbox = _Inbox(connection)
    inbox.start()
    with contextlib.suppress(BrokenPipeError):
        while True:
            message = inbox.calls.get()
            outcome = _execute(message, _reporter(connection, inbox.cancelled))
            _send_tally(connection)
            _answer(connection, outcome)
