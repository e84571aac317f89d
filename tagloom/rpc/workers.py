"""A pool of spawned processes for work that would block the event loop.

Each worker is a fresh interpreter (`worker_process.py`) running one call at a time: a worker that
is killed, by the kernel for its memory or by us for not stopping, takes its own call with it and
nothing else. Idle workers stay warm, since importing torch costs seconds, and leave after a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.connection import Connection, Pipe
from multiprocessing.reduction import ForkingPickler
from typing import Any, TypeVar

from tagloom.compute import COMPUTE_ENVIRONMENT
from tagloom.errors import Cancelled, TagloomError, Unavailable
from tagloom.progress import Report
from tagloom.rpc.worker_process import (
    CANCEL,
    Call,
    Crash,
    Done,
    Failed,
    Outcome,
    Progress,
    StoreCalls,
)
from tagloom.store.tally import TALLY

__all__ = ["WorkerCrashed", "WorkerDied", "Workers"]

_log = logging.getLogger(__name__)

_BOOT = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from tagloom.rpc.worker_process import main; "
    "main(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5])"
)

R = TypeVar("R")


class WorkerDied(TagloomError):
    """The process running the call was killed from outside, most often for its memory."""


class WorkerCrashed(TagloomError):
    """The call raised something nobody meant; the traceback is in this process's log."""


class _Worker:
    """One process and the pipe to it. Used by one call at a time, from the event loop."""

    def __init__(self, environment: Mapping[str, str], log_format: str, log_level: str) -> None:
        ours, theirs = Pipe()
        try:
            # Started from the loop's thread, never from a pool's: PR_SET_PDEATHSIG fires when
            # the *thread* that started the process ends.
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-c", _BOOT, json.dumps(sys.path)),
                    *(str(theirs.fileno()), str(os.getpid()), log_format, log_level),
                ],
                env={**os.environ, **environment},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what a library prints must not end up in a command's --json
                # A group of its own: Ctrl-C is the parent's business, and killing the group
                # takes along what the call itself may have started.
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise Unavailable(
                f"No worker process could be started ({error.strerror}); free some memory or "
                "raise the limit on processes, then try again.",
                reason="WORKER_NOT_STARTED",
            ) from error
        finally:
            theirs.close()
        self.connection: Connection[Any, Any] = ours
        self.calls = 0
        self.idle_since = time.monotonic()

    def ask_to_stop(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.send_bytes(CANCEL)

    def kill(self) -> None:
        if self.process.returncode is None:  # once reaped, the number may be another's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process for good and collect its exit status. Blocks for a moment."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.process.returncode is None:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.connection.close()


class Workers:
    """At most `size` processes. `run` waits for a free one, so callers need no queue."""

    def __init__(
        self,
        size: int,
        *,
        environment: Mapping[str, str] = COMPUTE_ENVIRONMENT,
        recycle_after: int = 100,
        idle_s: float = 120.0,
        cancel_grace_s: float = 10.0,
        log_format: str = "json",
        log_level: str = "INFO",
    ) -> None:
        """After `recycle_after` calls a process is replaced, against slow leaks; one unused for
        `idle_s` leaves; a call that ignores a cancel for `cancel_grace_s` is killed."""
        if size < 1:
            raise ValueError(f"a pool of {size} workers cannot work")
        self._start: Callable[[], _Worker] = partial(_Worker, environment, log_format, log_level)
        self._recycle_after = recycle_after
        self._idle_s = idle_s
        self._cancel_grace_s = cancel_grace_s
        self._free = asyncio.Semaphore(size)
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._closed = False
        self._reaper: asyncio.TimerHandle | None = None

    async def run(
        self,
        function: Callable[..., R],
        /,
        *args: Any,
        report: Report | None = None,
        cancel: asyncio.Event | None = None,
        **kwargs: Any,
    ) -> R:
        """Call a picklable top-level function in a worker process and return its result.

        With `report`, the function gets a `report=` of its own, whose calls arrive at this one in
        the event loop. Setting `cancel`, or cancelling the awaiting task, makes that `report`
        raise `Cancelled` over there; a function that does not end within the grace is killed.

        Raises what the function raised if it is a TagloomError; WorkerDied (WORKER_DIED) when the
        process was killed; WorkerCrashed (WORKER_CRASHED) for any other exception, whose
        traceback is logged here; Cancelled.
        """
        message = ForkingPickler.dumps(Call(function, args, kwargs, report is not None))
        async with self._free:
            if self._closed:
                raise Unavailable("The server is shutting down.", reason="SHUTTING_DOWN")
            if cancel is not None and cancel.is_set():
                raise Cancelled("The work was asked to stop.", reason="CANCELLED")
            worker = self._take()
            outcome: Outcome | None = None
            try:
                outcome = await self._converse(worker, bytes(message), report, cancel)
            finally:
                await self._put_back(worker, alive=outcome is not None)
        match outcome:
            case Done():
                result: R = outcome.result
                return result
            case Failed():
                raise outcome.error
            case Crash():
                name = getattr(function, "__qualname__", repr(function))
                _log.error("%s crashed in its worker:\n%s", name, outcome.traceback)
                raise WorkerCrashed(
                    f"The work stopped on an unexpected {outcome.kind}; the server's log has "
                    "the details.",
                    reason="WORKER_CRASHED",
                    kind=outcome.kind,
                )
        if cancel is not None and cancel.is_set():
            raise Cancelled("The work did not stop when asked, so it was ended.", reason="KILLED")
        raise _death(worker.process.returncode)

    async def close(self) -> None:
        """End all processes, also those at work; `run` refuses from now on."""
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
        for worker in self._busy:
            worker.kill()  # the call notices, and puts it back
        while self._busy:
            await asyncio.sleep(0.01)
        idle, self._idle = self._idle, []
        for worker in idle:
            await asyncio.to_thread(worker.close)

    @property
    def processes(self) -> list[int]:
        """Process ids, idle ones included."""
        return [worker.process.pid for worker in (*self._busy, *self._idle)]

    async def _converse(
        self,
        worker: _Worker,
        message: bytes,
        report: Report | None,
        cancel: asyncio.Event | None,
    ) -> Outcome | None:
        """Send the call and follow it to its end; None when the process died."""
        loop = asyncio.get_running_loop()

        def listen() -> Outcome | None:
            try:
                worker.connection.send_bytes(message)
                while isinstance(heard := worker.connection.recv(), Progress | StoreCalls):
                    if isinstance(heard, StoreCalls):
                        TALLY.add(heard.counted)
                    elif report is not None:
                        tell = partial(report, heard.phase, heard.done, heard.total, heard.message)
                        if heard.wait is not None:
                            tell = partial(tell, wait=heard.wait)
                        loop.call_soon_threadsafe(tell)
            except (EOFError, OSError):
                return None
            except Exception as error:  # a result that this side cannot unpickle
                return Crash(type(error).__name__, repr(error))
            outcome: Outcome = heard
            return outcome

        listening = _in_thread(loop, listen)
        stopper = asyncio.ensure_future(self._stop_when(cancel, worker)) if cancel else None
        try:
            return await asyncio.shield(listening)
        except asyncio.CancelledError:
            worker.ask_to_stop()
            await asyncio.wait([listening], timeout=self._cancel_grace_s)
            worker.kill()
            raise
        finally:
            if stopper is not None:
                stopper.cancel()

    async def _stop_when(self, cancel: asyncio.Event, worker: _Worker) -> None:
        await cancel.wait()
        worker.ask_to_stop()
        await asyncio.sleep(self._cancel_grace_s)
        worker.kill()

    def _take(self) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.process.poll() is None:
                break
            worker.close()
        else:
            worker = self._start()
        self._busy.add(worker)
        return worker

    async def _put_back(self, worker: _Worker, *, alive: bool) -> None:
        worker.calls += 1
        if self._closed or not alive or worker.calls >= self._recycle_after:
            # Shielded: a second cancel must not leave a process nobody waits for.
            await asyncio.shield(asyncio.to_thread(worker.close))
        else:
            worker.idle_since = time.monotonic()
            self._idle.append(worker)
            self._reap()
        self._busy.discard(worker)

    def _reap(self) -> None:
        """End the workers that idled too long, and come back when the next one will have."""
        now = time.monotonic()
        leaving = [worker for worker in self._idle if now - worker.idle_since >= self._idle_s]
        self._idle = [worker for worker in self._idle if worker not in leaving]
        for worker in leaving:
            worker.close()
        if self._reaper is not None:
            self._reaper.cancel()
        self._reaper = None
        if self._idle:
            wait_s = self._idle_s - (now - min(worker.idle_since for worker in self._idle))
            self._reaper = asyncio.get_running_loop().call_later(wait_s + 0.01, self._reap)


def _death(status: int) -> WorkerDied:
    try:
        cause = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    except ValueError:
        cause = f"signal {-status}"
    advice = (
        "; most often the machine ran out of memory: try a smaller job, or give it more memory"
        if status == -signal.SIGKILL
        else ""
    )
    return WorkerDied(
        f"The process doing the work was ended from outside ({cause}){advice}.",
        reason="WORKER_DIED",
        cause=cause,
    )


def _in_thread(loop: asyncio.AbstractEventLoop, function: Callable[[], R]) -> asyncio.Future[R]:
    """Run `function` in its own thread: calls may take days and must not fill a shared pool."""
    future: asyncio.Future[R] = loop.create_future()

    def settle(result: R) -> None:
        if not future.done():
            future.set_result(result)

    def body() -> None:
        result = function()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=body, name="worker-pipe", daemon=True).start()
    return future
