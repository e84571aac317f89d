"""What lies in the store for each operation, and the compare-and-swap that keeps it true.

    operations/<service>/<id>.json     the record: request, state, metadata, result or error
    requests/<uuid>                    which operation answered this AIP-155 request id
    leases/operations/<service>/<id>   who works on it (tagloom.store.lease)

Ids begin with the time of creation, so that keys sort by age.

During a rolling update servers of two versions read and write the same records: what a newer one
added is kept by an older one that changes the rest (docs/adr/0032-records-outlive-versions.md).
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from google.longrunning import operations_proto_pb2 as operations_pb2
from google.protobuf import any_pb2, json_format
from google.protobuf.message import Message
from pydantic import BaseModel, ConfigDict, ValidationError

from tagloom.errors import DataLoss, InvalidArgument, NotFound, TagloomError
from tagloom.progress import Wait
from tagloom.rpc.errors import to_status
from tagloom.store.interface import ObjectNotFound, PreconditionFailed, Store
from tagloom.v1 import operation_pb2

__all__ = [
    "Record",
    "RequestRecord",
    "State",
    "lease_key",
    "new_id",
    "parse_name",
    "read",
    "record_key",
    "request_key",
    "swap",
]

_log = logging.getLogger(__name__)

_NAME = re.compile(r"operations/(?P<service>[a-z][a-z0-9-]{0,62})\.(?P<id>[0-9a-z-]{1,63})")


class State(StrEnum):
    """Where an operation is in its life."""

    QUEUED = "queued"
    """accepted, and nobody works on it: new, or handed back"""
    RUNNING = "running"
    """somebody worked on it when this was written; the lease tells whether they still do"""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def done(self) -> bool:
        """Whether nothing changes any more."""
        return self not in (State.QUEUED, State.RUNNING)


class WaitRecord(BaseModel):
    """What an operation waits for (`tagloom.progress.Wait`). Unknown fields are kept."""

    model_config = ConfigDict(extra="allow")

    reason: str
    until: datetime | None = None
    posts_left: int | None = None
    images_left: int | None = None

    @classmethod
    def of(cls, wait: Wait | None) -> WaitRecord | None:
        """The durable form."""
        return None if wait is None else cls(**dataclasses.asdict(wait))

    def fill(self, message: operation_pb2.Wait) -> None:
        """Into what clients see."""
        message.reason = self.reason
        if self.until is not None:
            message.until.FromDatetime(self.until)
        if self.posts_left is not None:
            message.posts_left = self.posts_left
        if self.images_left is not None:
            message.images_left = self.images_left


class Record(BaseModel):
    """The durable form of one operation. Protobuf parts are in protobuf's own JSON.

    Fields of a newer version are kept as they are, through every change (`swap`).
    """

    model_config = ConfigDict(extra="allow")

    schema_version: Literal[1] = 1
    service: str
    id: str
    method: str
    target: str = ""
    """the resource that it makes or changes, where the service said so"""
    request: dict[str, Any]
    """google.protobuf.Any"""
    request_id: str = ""
    state: State = State.QUEUED
    cancel_requested: bool = False
    attempts: int = 0
    """how many owners have started on it"""
    owner: str = ""
    fence: int = 0
    """of the owner that wrote last; a smaller one is refused"""
    create_time: datetime
    update_time: datetime
    phase: str = State.QUEUED.value
    done: int = 0
    total: int = 0
    eta_s: float | None = None
    last_message: str = ""
    wait: WaitRecord | None = None
    response: dict[str, Any] | None = None
    """google.protobuf.Any"""
    error: dict[str, Any] | None = None
    """google.rpc.Status"""

    @property
    def name(self) -> str:
        """Its resource name, `operations/{service}.{id}`."""
        return f"operations/{self.service}.{self.id}"

    def finish(
        self, state: State, *, response: Message | None = None, error: TagloomError | None = None
    ) -> None:
        """Enter a final state with its one outcome."""
        self.state = state
        self.phase = state.value
        self.eta_s = None
        self.wait = None
        if response is not None:
            self.response = pack(response)
        if error is not None:
            self.error = json_format.MessageToDict(to_status(error))
            self.last_message = error.message

    def to_operation(self) -> operations_pb2.Operation:
        """The message that clients see. Raises DataLoss when a part is of an unknown type."""
        metadata = operation_pb2.OperationMetadata(
            method=self.method,
            target=self.target,
            phase=self.phase,
            done=self.done,
            total=self.total,
            last_message=self.last_message,
            owner=self.owner,
            fence=self.fence,
            cancel_requested=self.cancel_requested,
        )
        metadata.create_time.FromDatetime(self.create_time)
        metadata.update_time.FromDatetime(self.update_time)
        if self.eta_s is not None:
            metadata.eta.FromMilliseconds(round(self.eta_s * 1000))
        if self.wait is not None:
            self.wait.fill(metadata.wait)
        operation = operations_pb2.Operation(name=self.name, done=self.state.done)
        operation.metadata.Pack(metadata)
        if self.response is not None:
            _parse(self.response, operation.response, self.name)
        if self.error is not None:
            _parse(self.error, operation.error, self.name)
        return operation

    def unpack_request(self, request_type: type[Message]) -> Message:
        """The request as it was sent. Raises DataLoss when it is of another type."""
        packed = any_pb2.Any()
        _parse(self.request, packed, self.name)
        request = request_type()
        if not packed.Unpack(request):
            raise DataLoss(
                f"The request of {self.name} is a {packed.TypeName()}, which its method does not "
                "take; delete the operation and ask again.",
                reason="OPERATION_DAMAGED",
                operation=self.name,
            )
        return request

    def asks_for_more_than(self, request_type: type[Message]) -> bool:
        """Whether the request holds fields or values that this version of its type does not know:
        done by this server, it would silently be something else than what was asked for."""
        try:
            json_format.ParseDict(self.request, any_pb2.Any())
        except json_format.ParseError:
            packed = any_pb2.Any()
            try:
                json_format.ParseDict(self.request, packed, ignore_unknown_fields=True)
            except json_format.ParseError:
                return False  # damaged; `unpack_request` says so
            return packed.TypeName() == request_type.DESCRIPTOR.full_name
        return False

    def to_json(self) -> bytes:
        """The bytes to store."""
        return self.model_dump_json(indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes, key: str) -> Record:
        """Raises DataLoss when the bytes are no record of this schema."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise DataLoss(
                f"The operation record {key} cannot be read ({error.error_count()} problems, "
                f"first: {error.errors()[0]['msg']}); it was left as it is.",
                reason="OPERATION_DAMAGED",
                key=key,
            ) from error


class RequestRecord(BaseModel):
    """Which operation a request id stands for, and what was asked. Written once, never changed:
    fields of a newer version are passed over."""

    model_config = ConfigDict(extra="ignore")

    schema_version: Literal[1] = 1
    service: str
    operation_id: str
    method: str
    fingerprint: str
    """SHA-256 of the request's deterministic serialization"""

    def to_json(self) -> bytes:
        """The bytes to store."""
        return self.model_dump_json(indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes, request_id: str) -> RequestRecord:
        """Raises DataLoss when the bytes are no claim of this schema."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise DataLoss(
                f"What is stored for the request id {request_id} cannot be read; make a new UUID.",
                reason="REQUEST_ID_DAMAGED",
                field="request_id",
            ) from error


def fingerprint(method: str, request: Message) -> str:
    """Equal for equal requests; hex."""
    data = request.SerializeToString(deterministic=True)
    return hashlib.sha256(method.encode() + b"\0" + data).hexdigest()


def pack(message: Message) -> dict[str, Any]:
    """google.protobuf.Any in protobuf's JSON: readable where it lies."""
    packed = any_pb2.Any()
    packed.Pack(message)
    value: dict[str, Any] = json_format.MessageToDict(packed)
    return value


def new_id() -> str:
    """Milliseconds since 1970 in 12 hex digits, and 64 random bits."""
    return f"{time.time_ns() // 1_000_000:012x}-{secrets.token_hex(8)}"


def now() -> datetime:
    """UTC."""
    return datetime.now(UTC)


def parse_name(name: str) -> tuple[str, str]:
    """(service, id) of `operations/{service}.{id}`. Raises InvalidArgument."""
    match = _NAME.fullmatch(name)
    if not match:
        raise InvalidArgument(
            f"{name[:120]!r} does not name an operation; write operations/SERVICE.ID, as the call "
            "that started it answered.",
            reason="OPERATION_NAME_INVALID",
            field="name",
        )
    return match["service"], match["id"]


def record_key(service: str, operation_id: str) -> str:
    """Where the record lies."""
    return f"operations/{service}/{operation_id}.json"


def request_key(request_id: str) -> str:
    """Where a request id leads to its operation."""
    return f"requests/{request_id}"


def lease_key(service: str, operation_id: str) -> str:
    """The lease of the operation. Not below `operations/`, whose listing is the queue."""
    return f"leases/operations/{service}/{operation_id}"


def read(store: Store, service: str, operation_id: str) -> tuple[Record, str]:
    """The record and the ETag of exactly that state. Raises NotFound, DataLoss."""
    key = record_key(service, operation_id)
    try:
        data, etag = store.get_with_etag(key)
    except ObjectNotFound as error:
        raise NotFound(
            f"There is no operation operations/{service}.{operation_id}; it may have been "
            "deleted. `tagloom operations list` shows those there are.",
            reason="OPERATION_NOT_FOUND",
            operation=f"operations/{service}.{operation_id}",
        ) from error
    return Record.from_json(data, key), etag


def swap(store: Store, service: str, operation_id: str, change: Callable[[Record], bool]) -> Record:
    """Read, change, write with If-Match, again if somebody was faster; returns what now lies there.

    `change` edits the record in place and returns whether to write it; it may raise to refuse.
    """
    while True:
        record, etag = read(store, service, operation_id)
        if not change(record):
            return record
        record.update_time = now()
        try:
            store.put(record_key(service, operation_id), record.to_json(), if_match=etag)
            return record
        except PreconditionFailed:
            time.sleep(secrets.randbelow(20) / 1000)


def iterate(store: Store, service: str = "", *, after: str = "") -> Iterator[Record]:
    """All records of a service, or of all, by key; damaged ones are logged and left out."""
    prefix = f"operations/{service}/" if service else "operations/"
    next_after: str | None = after
    while next_after is not None:
        page = store.list(prefix, after=next_after)
        for info in page.objects:
            try:
                yield Record.from_json(store.get(info.key), info.key)
            except ObjectNotFound:
                continue  # deleted since the listing
            except DataLoss as error:
                _log.warning("%s", error.message)
        next_after = page.next_after


def _parse(value: dict[str, Any], into: Message, name: str) -> None:
    try:
        json_format.ParseDict(value, into, ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise DataLoss(
            f"The record of {name} holds a message that this server does not know ({error}); "
            "ask a server of the version that wrote it.",
            reason="OPERATION_DAMAGED",
            operation=name,
        ) from error
