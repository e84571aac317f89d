"""The clients of all services behind one target, and waiting for what they started."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cached_property
from types import TracebackType
from typing import Self, TypeVar

import grpc
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf.message import Message

from tagloom.client.channel import Credentials, open_channel
from tagloom.client.paging import iterate
from tagloom.errors import DataLoss, InvalidArgument, Unavailable
from tagloom.rpc.errors import from_status
from tagloom.v1 import (
    evaluator_pb2_grpc,
    filter_pb2_grpc,
    generator_pb2_grpc,
    operation_pb2,
    scraper_pb2_grpc,
    trainer_pb2_grpc,
)

__all__ = ["Clients", "Progress", "connect"]

Progress = Callable[[operation_pb2.OperationMetadata], None]
ResponseT = TypeVar("ResponseT", bound=Message)

_LOOK_S = 1.0
"""How long one WaitOperation waits: as often is progress shown."""


def connect(
    target: str, credentials: Credentials | None = None, *, timeout_s: float = 60.0
) -> Clients:
    """Clients for `target`: an address, or a template such as
    `dns:///{service}.tagloom.svc:50051` where each service has its own.

    Without `credentials` those of the environment are used. `timeout_s` is the deadline of calls
    that set none (`timeout=`). Nothing is connected before the first call.

    Raises InvalidArgument (TARGET_INVALID) for an empty or malformed template.
    """
    try:
        if not target.format(service="filter"):
            raise ValueError("empty")
    except (ValueError, KeyError, IndexError) as error:
        raise InvalidArgument(
            f"{target!r} is not a target; write host:port, or a template such as "
            "dns:///{service}.tagloom.svc:50051.",
            reason="TARGET_INVALID",
            target=target,
        ) from error
    return Clients(target, credentials or Credentials.from_environment(), timeout_s)


class Clients:
    """One typed stub a service. A context manager; use from any thread."""

    def __init__(self, target: str, credentials: Credentials, timeout_s: float) -> None:
        self.target = target
        self._credentials = credentials
        self._timeout_s = timeout_s
        self._channels: dict[str, grpc.Channel] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; calls under way fail."""
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()

    @cached_property
    def scraper(self) -> scraper_pb2_grpc.ScraperServiceStub:
        """Collections."""
        return scraper_pb2_grpc.ScraperServiceStub(self.channel("scraper"))

    @cached_property
    def filter(self) -> filter_pb2_grpc.FilterServiceStub:
        """Datasets."""
        return filter_pb2_grpc.FilterServiceStub(self.channel("filter"))

    @cached_property
    def trainer(self) -> trainer_pb2_grpc.TrainerServiceStub:
        """Runs and their snapshots."""
        return trainer_pb2_grpc.TrainerServiceStub(self.channel("trainer"))

    @cached_property
    def evaluator(self) -> evaluator_pb2_grpc.EvaluatorServiceStub:
        """Evaluations."""
        return evaluator_pb2_grpc.EvaluatorServiceStub(self.channel("evaluator"))

    @cached_property
    def generator(self) -> generator_pb2_grpc.GeneratorServiceStub:
        """Networks and images."""
        return generator_pb2_grpc.GeneratorServiceStub(self.channel("generator"))

    def channel(self, service: str) -> grpc.Channel:
        """The channel to a service, shared by all services of one address."""
        address = self.target.format(service=service)
        if address not in self._channels:
            self._channels[address] = open_channel(
                address, self._credentials, timeout_s=self._timeout_s
            )
        return self._channels[address]

    def wait(
        self,
        operation: operations_pb2.Operation | str,
        response_type: type[ResponseT],
        *,
        on_progress: Progress | None = None,
        timeout_s: float | None = None,
        patience_s: float = 60.0,
    ) -> ResponseT:
        """Wait until the operation is done; its response, or its error raised.

        `on_progress` gets the metadata about once a second. A server that goes away is given
        `patience_s` to come back, since another takes over what it did. After `timeout_s` raises
        Unavailable (WAIT_TIMED_OUT): the operation itself goes on.

        Raises what the operation failed with; Cancelled if it was cancelled; NotFound; DataLoss
        (RESPONSE_TYPE_UNEXPECTED) if the response is not a `response_type`.
        """
        current = (
            operations_pb2.Operation(name=operation) if isinstance(operation, str) else operation
        )
        stub = self._operations(current.name)
        request = operations_pb2.WaitOperationRequest(name=current.name)
        started = heard = time.monotonic()
        while not current.done:
            left_s = _LOOK_S if timeout_s is None else started + timeout_s - time.monotonic()
            if left_s <= 0:
                raise Unavailable(
                    f"{current.name} is not done after {timeout_s:g} s; it goes on. "
                    f"`tagloom operations wait {current.name}` waits again.",
                    reason="WAIT_TIMED_OUT",
                    operation=current.name,
                )
            request.timeout.FromMilliseconds(round(min(_LOOK_S, left_s) * 1000))
            try:
                current = stub.WaitOperation(request, timeout=_LOOK_S + 10.0)
            except Unavailable:
                if time.monotonic() - heard > patience_s:
                    raise
                time.sleep(min(0.5, patience_s))
                continue
            heard = time.monotonic()
            if on_progress is not None:
                on_progress(_metadata(current))
        return _outcome(current, response_type)

    def list_operations(
        self, service: str, *, filter: str = "", page_size: int = 0
    ) -> Iterator[operations_pb2.Operation]:
        """Operations of a service, oldest first; `filter` as in `done = false AND target = x`."""
        request = operations_pb2.ListOperationsRequest(
            name=f"operations/{service}", filter=filter, page_size=page_size
        )
        stub = operations_pb2_grpc.OperationsStub(self.channel(service))
        return iterate(stub.ListOperations, request, lambda page: page.operations)

    def get_operation(self, name: str) -> operations_pb2.Operation:
        """The operation as it is now. Raises NotFound."""
        request = operations_pb2.GetOperationRequest(name=name)
        answer: operations_pb2.Operation = self._operations(name).GetOperation(request)
        return answer

    def cancel_operation(self, name: str) -> None:
        """Ask it to stop; `wait` raises Cancelled once it has. Raises NotFound."""
        self._operations(name).CancelOperation(operations_pb2.CancelOperationRequest(name=name))

    def _operations(self, name: str) -> operations_pb2_grpc.OperationsStub:
        service, dot, _ = name.removeprefix("operations/").partition(".")
        if not dot:
            raise InvalidArgument(
                f"{name!r} does not name an operation; write operations/SERVICE.ID.",
                reason="OPERATION_NAME_INVALID",
                field="name",
            )
        return operations_pb2_grpc.OperationsStub(self.channel(service))


def _metadata(operation: operations_pb2.Operation) -> operation_pb2.OperationMetadata:
    metadata = operation_pb2.OperationMetadata()
    operation.metadata.Unpack(metadata)
    return metadata


def _outcome(operation: operations_pb2.Operation, response_type: type[ResponseT]) -> ResponseT:
    if operation.HasField("error"):
        raise from_status(operation.error)
    response = response_type()
    if not operation.response.Unpack(response):
        raise DataLoss(
            f"{operation.name} answered with a {operation.response.TypeName()} where a "
            f"{response.DESCRIPTOR.full_name} was expected; are both sides of one version?",
            reason="RESPONSE_TYPE_UNEXPECTED",
            operation=operation.name,
        )
    return response
