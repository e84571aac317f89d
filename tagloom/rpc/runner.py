"""Works off the operations of one service, together with every other server of that service.

A server with a free slot looks for records that nobody holds: new ones, handed back ones, and
those whose owner died and whose lease lapsed. So the queue is one for all servers, and taking over
after a crash is what happens anyway.

What makes a late owner harmless is the fencing number of its lease, larger with each change of
hands: records are swapped with If-Match and refuse a smaller number, and so does the job's store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from dataclasses import dataclass

from google.protobuf.message import Message

from tagloom.errors import (
    Cancelled,
    DataLoss,
    FailedPrecondition,
    ResourceExhausted,
    TagloomError,
    Unavailable,
)
from tagloom.rpc import errors, records
from tagloom.rpc.job import Job, Stop
from tagloom.rpc.metrics import OperationMetrics
from tagloom.rpc.operations import Handler, Operations
from tagloom.rpc.records import Record, State, WaitRecord
from tagloom.rpc.workers import Workers
from tagloom.store.fenced import FencedStore
from tagloom.store.lease import Lease, LeaseHeld, LeaseLost, acquire

__all__ = ["Runner"]

_log = logging.getLogger(__name__)

_TELL_INTERVAL_S = 1.0
_QUEUE_INTERVAL_S = 15.0
"""between two looks at the queue by a server that can take nothing from it"""


class Runner:
    """Takes operations of one service, runs their handlers, keeps their leases."""

    def __init__(
        self,
        operations: Operations,
        workers: Workers,
        metrics: OperationMetrics,
        *,
        lease_s: float,
        stop_grace_s: float = 10.0,
    ) -> None:
        """`stop_grace_s`: what a handler that was asked to stop gets before it is cut off."""
        self._operations = operations
        self._workers = workers
        self._metrics = metrics
        self._lease_s = lease_s
        self._stop_grace_s = stop_grace_s
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._jobs: dict[str, Job | None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._scanner: asyncio.Task[None] | None = None
        self._looked = float("-inf")
        metrics.expect(operations.service, operations.handlers)

    def start(self) -> None:
        """Begin to look for work."""
        self._scanner = asyncio.create_task(self._look_for_work())

    async def hand_back(self) -> None:
        """Stop in good order: jobs make their state durable, leases go, others go on."""
        self._operations.closing = True
        if self._scanner is not None:
            self._scanner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._scanner
        for job in self._jobs.values():
            if job is not None:
                job.ask_to_stop(Stop.HAND_BACK)
        if self._tasks:
            await asyncio.wait(self._tasks)

    # Finding work

    async def _look_for_work(self) -> None:
        operations = self._operations
        while True:
            operations.new.clear()
            try:
                await self._take_what_is_free()
            except TagloomError as error:
                _log.warning("cannot look for operations: %s", error.message)
            except Exception:
                _log.exception("cannot look for operations")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._lease_s / 3):
                    await operations.new.wait()

    async def _take_what_is_free(self) -> None:
        operations = self._operations
        full = operations.draining or len(self._jobs) >= operations.at_once
        if full and time.monotonic() - self._looked < _QUEUE_INTERVAL_S:
            return
        found = await operations.io(operations.scan)
        self._looked = time.monotonic()
        await self._take(found)
        waiting = (r for r in found if r.state is State.QUEUED and r.id not in self._jobs)
        self._metrics.show_queue(operations.service, (record.create_time for record in waiting))

    async def _take(self, found: list[Record]) -> None:
        operations = self._operations
        for record in found:
            if operations.draining or len(self._jobs) >= operations.at_once:
                return
            if record.id in self._jobs:
                continue
            if record.method not in operations.handlers:
                _log.warning("%s: no handler for %s, left alone", record.name, record.method)
                continue
            handler = operations.handlers[record.method]
            if not record.cancel_requested and record.asks_for_more_than(handler.request_type):
                _log.warning("%s: asked of a newer version, left to a server of it", record.name)
                continue
            lease = await operations.io(self._try_acquire, record.id)
            if lease is None:
                continue
            self._jobs[record.id] = None
            task = asyncio.create_task(self._own(record.id, lease))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _try_acquire(self, operation_id: str) -> Lease | None:
        operations = self._operations
        key = records.lease_key(operations.service, operation_id)
        try:
            return acquire(operations.store, key, self._owner, self._lease_s)
        except LeaseHeld:
            return None
        except DataLoss as error:
            _log.error("operations/%s.%s: %s", operations.service, operation_id, error.message)
            return None

    # Working on one

    async def _own(self, operation_id: str, lease: Lease) -> None:
        """Everything that happens under one lease, from its acquisition to its release."""
        operations = self._operations
        try:
            record = await operations.io(self._begin, operation_id, lease.fence)
            if not record.state.done:
                await self._attempt(record, lease)
        except LeaseLost as error:
            _log.warning(
                "operations/%s.%s: %s",
                *(operations.service, operation_id, error.message),
                extra={"reason": error.reason},
            )
        except Exception:
            # Whatever it was, the record still says what to do, and a next attempt will.
            _log.exception("operations/%s.%s: attempt broken off", operations.service, operation_id)
            await asyncio.sleep(min(1.0, self._lease_s / 10))
        finally:
            with contextlib.suppress(TagloomError):
                await operations.io(lease.release)
            del self._jobs[operation_id]
            operations.notify(operation_id)
            operations.new.set()

    async def _attempt(self, record: Record, lease: Lease) -> None:
        operations = self._operations
        store = FencedStore(operations.store, lease.key, lease.fence)
        job = Job(record, store, self._workers)
        self._jobs[record.id] = job
        if operations.closing:
            job.ask_to_stop(Stop.HAND_BACK)
        labels = (operations.service, record.method)
        self._metrics.started.labels(*labels).inc()
        label = "lost"
        running, seconds = self._metrics.running, self._metrics.seconds
        with (
            running.labels(operations.service).track_inprogress(),
            seconds.labels(*labels).time(),
        ):
            keeper = asyncio.create_task(self._keep(job, lease))
            teller = asyncio.create_task(self._tell(job, record.id))
            try:
                outcome = await self._work(record, job)
                await self._settle(job, record.id, outcome)
                label = "handed_back" if outcome.state is State.QUEUED else outcome.state.value
            finally:
                self._metrics.ended.labels(*labels, label).inc()
                for task in (keeper, teller):
                    task.cancel()
                await asyncio.wait([keeper, teller])

    async def _work(self, record: Record, job: Job) -> _Outcome:
        """Call the handler; turn whatever comes of it into the operation's outcome."""
        handler = self._operations.handlers[record.method]
        try:
            request = record.unpack_request(handler.request_type)
            response = await self._call(handler, request, job)
            if not isinstance(response, handler.response_type):
                raise TypeError(f"{record.method} returned a {type(response).__name__}")
            outcome = _Outcome(State.SUCCEEDED, response=response)
        except LeaseLost:
            raise
        except (Cancelled, Unavailable) as error:
            # Shutting down also takes workers and dependencies away: that is no failure.
            if job.stop is Stop.HAND_BACK:
                outcome = _Outcome(State.QUEUED)
            elif isinstance(error, Cancelled):
                outcome = _Outcome(State.CANCELLED, error=error)
            else:
                outcome = _Outcome(State.FAILED, error=error)
        except TagloomError as error:
            outcome = _Outcome(State.FAILED, error=error)
        except asyncio.CancelledError:
            if job.stop is None:
                raise
            cut_off = Cancelled("The operation was cut off when asked to stop.", reason="CANCELLED")
            outcome = (
                _Outcome(State.CANCELLED, error=cut_off)
                if job.stop is Stop.CANCEL
                else _Outcome(State.QUEUED)
            )
        except Exception as error:
            outcome = _Outcome(
                State.FAILED, error=errors.internal_error(error, doing=f"working on {record.name}")
            )
        if job.stop is Stop.LOST:
            raise _lost(record.name)
        return outcome

    async def _call(self, handler: Handler, request: Message, job: Job) -> Message:
        """Await the handler; once the job is to stop, only for the grace."""
        work = asyncio.ensure_future(handler.function(request, job))
        stopping = asyncio.create_task(job.stopping.wait())
        try:
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await asyncio.wait({work}, timeout=self._stop_grace_s)
            if not work.done():
                work.cancel()
            return await work
        finally:
            stopping.cancel()
            work.cancel()

    async def _keep(self, job: Job, lease: Lease) -> None:
        """Renew the lease until cancelled; stop the job when that can no longer be done."""
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(self._lease_s / 3)
            # Others count from when they saw the renewal, which is later than this moment.
            asked = time.monotonic()
            try:
                async with asyncio.timeout(self._lease_s / 3):
                    await self._operations.io(lease.renew)
                renewed = asked
            except LeaseLost:
                job.ask_to_stop(Stop.LOST)
                return
            except (TagloomError, TimeoutError) as error:
                _log.warning("%s: the lease could not be renewed: %s", job.name, error)
                if time.monotonic() - renewed > self._lease_s:
                    job.ask_to_stop(Stop.LOST)
                    return

    async def _tell(self, job: Job, operation_id: str) -> None:
        """Write progress into the record, and see there whether to stop, until cancelled."""
        operations = self._operations

        def show(record: Record) -> bool:
            if record.state is not State.RUNNING or not job.changed:
                return False
            _refuse_stale(record, job.fence)
            _copy_progress(job, record)
            job.changed = False
            return True

        while True:
            await operations.news(operation_id, _TELL_INTERVAL_S)
            try:
                record = await operations.io(
                    records.swap, operations.store, operations.service, operation_id, show
                )
            except LeaseLost:
                job.ask_to_stop(Stop.LOST)
                return
            except TagloomError as error:
                _log.warning("%s: progress could not be written: %s", job.name, error.message)
                job.changed = True
                continue
            if record.cancel_requested:
                job.ask_to_stop(Stop.CANCEL)
                return

    # What is written about it

    def _begin(self, operation_id: str, fence: int) -> Record:
        """Enter this server and its fencing number into the record; or end it if it is to end."""
        operations = self._operations

        def change(record: Record) -> bool:
            if record.state.done:
                return False
            _refuse_stale(record, fence)
            record.owner, record.fence = self._owner, fence
            record.attempts += 1
            limit = operations.handlers[record.method].max_attempts
            if record.cancel_requested:
                record.finish(State.CANCELLED, error=_cancelled())
            elif record.attempts > limit:
                record.finish(State.FAILED, error=_exhausted(limit))
            else:
                record.state, record.phase = State.RUNNING, "starting"
            return True

        return records.swap(operations.store, operations.service, operation_id, change)

    async def _settle(self, job: Job, operation_id: str, outcome: _Outcome) -> None:
        """Write the outcome; while the store does not answer, again until the lease is lost."""
        operations = self._operations

        def change(record: Record) -> bool:
            _refuse_stale(record, job.fence)
            _copy_progress(job, record)
            if outcome.state is not State.QUEUED:
                record.finish(outcome.state, response=outcome.response, error=outcome.error)
            elif record.cancel_requested:
                record.finish(State.CANCELLED, error=_cancelled())
            else:
                record.state, record.phase, record.eta_s = State.QUEUED, "queued", None
                record.wait = None
                record.attempts -= 1
            return True

        while True:
            try:
                await operations.io(
                    records.swap, operations.store, operations.service, operation_id, change
                )
                return
            except (Unavailable, ResourceExhausted) as error:
                _log.error("%s: the outcome could not be written: %s", job.name, error.message)
                if job.stop is Stop.LOST:
                    raise _lost(job.name) from error
                await asyncio.sleep(min(1.0, self._lease_s / 10))


@dataclass(frozen=True, slots=True)
class _Outcome:
    state: State
    """QUEUED: handed back"""
    response: Message | None = None
    error: TagloomError | None = None


def _copy_progress(job: Job, record: Record) -> None:
    record.phase, record.done, record.total = job.phase, job.done, job.total
    record.last_message, record.eta_s = job.message, job.eta_s
    record.wait = WaitRecord.of(job.wait)


def _refuse_stale(record: Record, fence: int) -> None:
    if record.fence > fence:
        raise _lost(record.name)


def _lost(name: str) -> LeaseLost:
    return LeaseLost(
        f"{name} was taken over by another server; what this one still had to write was dropped.",
        reason="LEASE_LOST",
        operation=name,
    )


def _cancelled() -> Cancelled:
    return Cancelled("The operation was cancelled.", reason="CANCELLED")


def _exhausted(limit: int) -> FailedPrecondition:
    return FailedPrecondition(
        f"The operation was begun {limit} times and its server died each time; look into the "
        "server's log, then ask again with a smaller job or more memory.",
        reason="ATTEMPTS_EXHAUSTED",
        attempts=limit,
    )
