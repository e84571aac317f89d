"""`google.longrunning.Operations` for all services that share the store.

Works on the records: any server answers for any service's operations. Waiting is prompt for those
that this process works on, and a look into the store every second for the others.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar

import grpc.aio
from google.longrunning import operations_pb2_grpc
from google.longrunning import operations_proto_pb2 as operations_pb2
from google.protobuf import empty_pb2

from tagloom.errors import DataLoss, FailedPrecondition, InvalidArgument, Unavailable
from tagloom.paging import page_size, place_of, token_of
from tagloom.rpc import records
from tagloom.rpc.operations import Operations
from tagloom.rpc.records import Record
from tagloom.store.interface import Store

__all__ = ["OperationsService"]

_LOOK_S = 1.0
_DEFAULT_WAIT_S = 30.0
_TERM = re.compile(r"\s*(service|method|target|state|done)\s*=\s*(\"[^\"]*\"|[^\s\"]+)\s*")

R = TypeVar("R")
Context = grpc.aio.ServicerContext[Any, Any]


class OperationsService(operations_pb2_grpc.OperationsServicer):
    """Get, list, wait for, cancel and delete operations."""

    def __init__(self, store: Store, hosted: Mapping[str, Operations], io: Executor) -> None:
        """`hosted`: those of this server's services; `io` runs the blocking store calls."""
        self._store = store
        self._hosted = hosted
        self._executor = io
        self.closing = asyncio.Event()
        """set to send all waiting callers away: to another server, or to this one's successor"""

    async def GetOperation(
        self, request: operations_pb2.GetOperationRequest, context: Context
    ) -> operations_pb2.Operation:
        """The operation as its record says."""
        return (await self._read(request.name)).to_operation()

    async def ListOperations(
        self, request: operations_pb2.ListOperationsRequest, context: Context
    ) -> operations_pb2.ListOperationsResponse:
        """Operations by service and age. `filter`: terms such as `service = filter`,
        `done = false`, `target = "runs/cats"`, `method` or `state`, joined by AND."""
        size = page_size(request.page_size)
        matches, service = _parse_filter(request.filter)
        if request.name not in ("", "operations"):
            service = request.name.removeprefix("operations/")
        listed = f"operations/{service} {request.filter}"
        place = place_of(request.page_token, listed)
        after = f"operations/{place}" if place else ""

        def page() -> operations_pb2.ListOperationsResponse:
            response = operations_pb2.ListOperationsResponse()
            last = ""
            for record in records.iterate(self._store, service, after=after):
                if not matches(record):
                    continue
                if len(response.operations) == size:
                    response.next_page_token = token_of(listed, last.removeprefix("operations/"))
                    break
                try:
                    response.operations.append(record.to_operation())
                except DataLoss:
                    continue  # of a type that this server does not know
                last = records.record_key(record.service, record.id)
            return response

        return await self._io(page)

    async def CancelOperation(
        self, request: operations_pb2.CancelOperationRequest, context: Context
    ) -> empty_pb2.Empty:
        """Ask it to stop; it ends as CANCELLED once its work has noticed."""
        service, _ = records.parse_name(request.name)
        await self._of(service).cancel(request.name)
        return empty_pb2.Empty()

    async def DeleteOperation(
        self, request: operations_pb2.DeleteOperationRequest, context: Context
    ) -> empty_pb2.Empty:
        """Forget a finished operation; what it made stays."""
        record = await self._read(request.name)
        if not record.state.done:
            raise FailedPrecondition(
                f"{record.name} is not done; cancel it and wait, then delete it.",
                reason="OPERATION_NOT_DONE",
                operation=record.name,
            )

        def delete() -> None:
            self._store.delete(records.record_key(record.service, record.id))
            self._store.delete(records.lease_key(record.service, record.id))

        await self._io(delete)
        return empty_pb2.Empty()

    async def WaitOperation(
        self, request: operations_pb2.WaitOperationRequest, context: Context
    ) -> operations_pb2.Operation:
        """Return when it is done, or after `timeout` (default 30 s) as it is then."""
        service, operation_id = records.parse_name(request.name)
        wait_s = request.timeout.ToMilliseconds() / 1000
        if wait_s < 0:
            raise InvalidArgument(
                "The timeout is negative; leave it out for the default.",
                reason="TIMEOUT_INVALID",
                field="timeout",
            )
        if not request.HasField("timeout"):
            wait_s = _DEFAULT_WAIT_S
        if (remaining_s := context.time_remaining()) is not None:
            wait_s = min(wait_s, max(0.0, remaining_s - 0.5))  # answer before the deadline does
        clock = asyncio.get_running_loop().time
        end = clock() + wait_s
        while True:
            record = await self._read(request.name)
            if record.state.done or clock() >= end:
                return record.to_operation()
            if self.closing.is_set():
                raise Unavailable(
                    "The server is shutting down; wait again in a moment.", reason="SHUTTING_DOWN"
                )
            await self._of(service).news(operation_id, min(_LOOK_S, max(0.0, end - clock())))

    def _of(self, service: str) -> Operations:
        """The service's operations; those of a service elsewhere are reached by the store alone."""
        return self._hosted.get(service) or Operations(service, self._store, self._executor)

    async def _read(self, name: str) -> Record:
        record, _ = await self._io(records.read, self._store, *records.parse_name(name))
        return record

    async def _io(self, function: Callable[..., R], *args: Any) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *args)


def _parse_filter(text: str) -> tuple[Callable[[Record], bool], str]:
    """The filter as a predicate, and the service it is narrowed to ("" for all)."""
    wanted: dict[str, str] = {}
    for term in text.split(" AND ") if text.strip() else []:
        match = _TERM.fullmatch(term)
        if not match:
            raise InvalidArgument(
                f"The filter term {term.strip()[:80]!r} is not understood; write KEY = VALUE with "
                "service, method, target, state or done, joined by AND.",
                reason="FILTER_INVALID",
                field="filter",
            )
        wanted[match[1]] = match[2].strip('"')

    def matches(record: Record) -> bool:
        values = {
            "service": record.service,
            "method": record.method,
            "target": record.target,
            "state": record.state.value,
            "done": str(record.state.done).lower(),
        }
        return all(values[key] == value for key, value in wanted.items())

    return matches, wanted.get("service", "")
