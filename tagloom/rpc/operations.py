"""Durable long-running operations (AIP-151) of one service.

An operation is a record in the store before the client hears of it; so it survives every server.
Whoever holds its lease works on it (`runner.py`). Get, List, Wait, Cancel and Delete work on the
records alone, from any server (`operations_service.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, TypeVar

from google.longrunning import operations_proto_pb2 as operations_pb2
from google.protobuf.message import Message

from tagloom.errors import (
    AlreadyExists,
    Cancelled,
    DataLoss,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from tagloom.rpc import records
from tagloom.rpc.job import Job
from tagloom.rpc.records import Record, RequestRecord, State
from tagloom.store.interface import ObjectNotFound, PreconditionFailed, Store

__all__ = ["Handler", "Operations"]

_log = logging.getLogger(__name__)

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Handler:
    """What does the work of one method."""

    request_type: type[Message]
    response_type: type[Message]
    function: Callable[[Any, Job], Awaitable[Message]]
    max_attempts: int


class Operations:
    """Accepts the operations of one service, and knows who handles them."""

    def __init__(self, service: str, store: Store, io: Executor) -> None:
        """`io` runs the store calls of the machinery itself: apart from everybody else's
        threads, so that no queue of theirs can let a lease lapse."""
        self.service = service
        self.store = store
        self.at_once = 2
        """operations that one server works on at a time"""
        self.handlers: dict[str, Handler] = {}
        self.new = asyncio.Event()
        """set when there may be something to start"""
        self.draining = False
        """Accept, and leave the work to another server: balancers still send calls here."""
        self.closing = False
        self._executor = io
        self._done: dict[str, str] = {}  # key to ETag of the records known to be done
        self._changes: dict[str, set[asyncio.Event]] = {}

    def handle(
        self,
        method: str,
        request_type: type[RequestT],
        response_type: type[ResponseT],
        function: Callable[[RequestT, Job], Awaitable[ResponseT]],
        *,
        max_attempts: int = 20,
    ) -> None:
        """Have `function` do the work of `method`. For `register`, before the server starts.

        After `max_attempts` owners that died with it the operation fails (an operation that kills
        its server would otherwise do so for ever); shutdowns in good order do not count.
        """
        if method in self.handlers:
            raise ValueError(f"{self.service} already handles {method}")
        self.handlers[method] = Handler(request_type, response_type, function, max_attempts)

    async def start(
        self,
        method: str,
        request: Message,
        *,
        target: str = "",
        request_id: str = "",
        check: Callable[[], Awaitable[None]] | None = None,
        join: bool = False,
    ) -> operations_pb2.Operation:
        """Accept an operation: when this returns, it is durable and will be worked on.

        `request_id` (AIP-155, a UUID) makes asking twice safe: the same id with the same request
        returns the same operation. `check` may refuse a request that is not a replay; `target` is
        the resource that the operation makes or changes, shown in its metadata. `join`: while an
        operation on this target with the same request is not done, and nobody asked it to stop,
        that one is the answer. So a command that was interrupted goes on when it is said again.

        Raises InvalidArgument (REQUEST_ID_INVALID), AlreadyExists (REQUEST_ID_REUSED) when the
        id came with another request before, Unavailable (SHUTTING_DOWN), and what `check` raises.
        """
        if method not in self.handlers:
            raise ValueError(f"{self.service} has no handler for {method}")
        if self.closing:
            raise Unavailable(
                "The server is shutting down; ask again in a moment.", reason="SHUTTING_DOWN"
            )
        record = Record(
            service=self.service,
            id=records.new_id(),
            method=method,
            target=target,
            request=records.pack(request),
            request_id=_canonical(request_id),
            create_time=(now := records.now()),
            update_time=now,
        )
        claim = RequestRecord(
            service=self.service,
            operation_id=record.id,
            method=method,
            fingerprint=records.fingerprint(method, request),
        )
        if record.request_id and (earlier := await self.io(self._replay, record, claim)):
            return earlier.to_operation()
        if join and (running := await self.io(self._join, record, claim)):
            self.new.set()
            return running.to_operation()
        if check is not None:
            await check()
        record = await self.io(self._create, record, claim)
        self.new.set()
        return record.to_operation()

    async def unfinished(self, target: str) -> list[str]:
        """Names of the operations on this resource that are not done, oldest first."""
        found = await self.io(self.scan)
        return [record.name for record in found if record.target == target]

    async def cancel(self, name: str) -> None:
        """Ask for the operation to stop; nothing happens if it is done. Raises NotFound."""
        _, operation_id = records.parse_name(name)

        def request(record: Record) -> bool:
            if record.state.done or record.cancel_requested:
                return False
            record.cancel_requested = True
            if record.state is State.QUEUED:  # nobody works on it, and now nobody will
                record.finish(
                    State.CANCELLED,
                    error=Cancelled("The operation was cancelled.", reason="CANCELLED"),
                )
            return True

        await self.io(records.swap, self.store, self.service, operation_id, request)
        # Whoever works on it sees the flag in the record; if they died, their successor does.
        self.notify(operation_id)
        self.new.set()

    def scan(self) -> list[Record]:
        """Records that are not done, oldest first; blocks. Those known to be done cost nothing
        but their line in the listing."""
        found, done = [], dict[str, str]()
        for info in self.store.iterate(f"operations/{self.service}/"):
            if self._done.get(info.key) == info.etag:
                done[info.key] = info.etag
                continue
            try:
                record = Record.from_json(self.store.get(info.key), info.key)
            except ObjectNotFound:
                continue  # deleted since the listing
            except DataLoss as error:
                _log.warning("%s", error.message)
                done[info.key] = info.etag  # nothing to do until it changes; said once
                continue
            if record.state.done:
                done[info.key] = info.etag
            else:
                found.append(record)
        self._done = done
        return found

    def notify(self, operation_id: str) -> None:
        """Wake those who wait for news of this operation."""
        for event in self._changes.get(operation_id, ()):
            event.set()

    async def news(self, operation_id: str, timeout_s: float) -> None:
        """Wait until this process changed the operation, at most `timeout_s`."""
        event = asyncio.Event()
        waiting = self._changes.setdefault(operation_id, set())
        waiting.add(event)
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            waiting.discard(event)
            if not waiting:
                self._changes.pop(operation_id, None)

    async def io(self, function: Callable[..., R], *args: Any) -> R:
        """A blocking store call in the machinery's own threads."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *args)

    def _replay(self, record: Record, claim: RequestRecord) -> Record | None:
        """The operation that this request id already stands for, if any."""
        try:
            data = self.store.get(records.request_key(record.request_id))
        except ObjectNotFound:
            return None
        known = RequestRecord.from_json(data, record.request_id)
        same = (known.service, known.method, known.fingerprint) == (
            claim.service,
            claim.method,
            claim.fingerprint,
        )
        if not same:
            raise AlreadyExists(
                f"The request id {record.request_id} was used before for another request "
                f"(operations/{known.service}.{known.operation_id}); make a new UUID for each.",
                reason="REQUEST_ID_REUSED",
                field="request_id",
                operation=f"operations/{known.service}.{known.operation_id}",
            )
        # A server died between the two writes of _create, or the operation was deleted since:
        # the id still stands for that operation, so it is (again) created under its name.
        claim.operation_id = record.id = known.operation_id
        try:
            return records.read(self.store, self.service, known.operation_id)[0]
        except NotFound:
            return None

    def _join(self, record: Record, claim: RequestRecord) -> Record | None:
        """The operation that does the same already; the request id stands for it from now on."""
        asked = _without_id(record.request)
        for other in self.scan():
            same = (other.target, other.method) == (record.target, record.method)
            if same and not other.cancel_requested and _without_id(other.request) == asked:
                claim.operation_id = other.id
                if record.request_id:
                    key = records.request_key(record.request_id)
                    with contextlib.suppress(PreconditionFailed):
                        self.store.put(key, claim.to_json(), if_none_match=True)
                return other
        return None

    def _create(self, record: Record, claim: RequestRecord) -> Record:
        """Write the claim of the request id, then the record; or find who was faster."""
        if record.request_id:
            key = records.request_key(record.request_id)
            try:
                self.store.put(key, claim.to_json(), if_none_match=True)
            except PreconditionFailed:
                if earlier := self._replay(record, claim):
                    return earlier
        key = records.record_key(self.service, record.id)
        try:
            self.store.put(key, record.to_json(), if_none_match=True)
        except PreconditionFailed:
            return records.read(self.store, self.service, record.id)[0]
        return record


def _without_id(request: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in request.items() if key != "requestId"}


def _canonical(request_id: str) -> str:
    if not request_id:
        return ""
    try:
        return str(uuid.UUID(request_id))
    except ValueError as error:
        raise InvalidArgument(
            f"The request id {request_id[:60]!r} is not a UUID; make one for each request "
            "(AIP-155), or leave it empty.",
            reason="REQUEST_ID_INVALID",
            field="request_id",
        ) from error
