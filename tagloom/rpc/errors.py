"""`TagloomError` to `google.rpc.Status` and back (AIP-193).

Every error that leaves a server carries `google.rpc.ErrorInfo` with domain `tagloom`; so a client
in any language branches on `reason`, and ours gets the very class back. Two metadata keys have a
meaning of their own and travel as the standard details that programs already know:

    field           the request field that is wrong  -> google.rpc.BadRequest
    retry_after_s   seconds to wait, e.g. "90"       -> google.rpc.RetryInfo

What nobody raised on purpose becomes INTERNAL with an incident id; its text goes to the log only.
"""

from __future__ import annotations

import logging
import math
import uuid

import grpc
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from tagloom.errors import (
    AlreadyExists,
    Cancelled,
    Conflict,
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    TagloomError,
    Unauthenticated,
    Unavailable,
)

__all__ = [
    "DOMAIN",
    "deadline_status",
    "from_rpc_error",
    "from_status",
    "internal_error",
    "status_code",
    "to_status",
]

DOMAIN = "tagloom"

_log = logging.getLogger(__name__)

_CODE_OF: dict[type[TagloomError], grpc.StatusCode] = {
    InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    Conflict: grpc.StatusCode.ABORTED,
    ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    DataLoss: grpc.StatusCode.DATA_LOSS,
    Cancelled: grpc.StatusCode.CANCELLED,
}
_CLASS_OF = {code: cls for cls, code in _CODE_OF.items()} | {
    # Codes that only gRPC itself or another implementation sends.
    grpc.StatusCode.DEADLINE_EXCEEDED: Unavailable,
    grpc.StatusCode.UNIMPLEMENTED: FailedPrecondition,
    grpc.StatusCode.OUT_OF_RANGE: InvalidArgument,
}
_CODE_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

_OUR_OWN_CANCELS = ("Locally cancelled by application!", "Channel closed!")
"""How grpcio's client words a CANCELLED that it made itself."""

# HTTP/2 peers take 8 KiB of metadata without asking; a status travels there twice: once
# percent-encoded (3 bytes for each odd one) and once in base64. These limits stay below it.
_MESSAGE_BYTES = 1024
_METADATA_BYTES = 1024
_DESCRIPTION_BYTES = 256


def status_code(error: TagloomError) -> grpc.StatusCode:
    """The canonical code of an error: that of its nearest class in the tree, else INTERNAL."""
    for cls in type(error).__mro__:
        if cls in _CODE_OF:
            return _CODE_OF[cls]
    return grpc.StatusCode.INTERNAL


def internal_error(error: BaseException, *, doing: str) -> TagloomError:
    """Log an unexpected exception with its traceback; return what the caller may know of it.

    The answer names an incident id to look up in the log, and nothing of the exception's text,
    which may hold paths or secrets.
    """
    incident = uuid.uuid4().hex[:12]
    _log.error(
        "incident %s while %s", incident, doing, exc_info=error, extra={"incident": incident}
    )
    return TagloomError(
        f"Something went wrong inside the server; its log has the details under incident "
        f"{incident}.",
        reason="INTERNAL",
        incident=incident,
    )


def to_status(error: TagloomError) -> status_pb2.Status:
    """The wire form of a deliberate error. Overlong texts are cut so that it always arrives: a
    message in its middle, since it ends with what to do."""
    message = _clip_middle(error.message, _MESSAGE_BYTES)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    budget = _METADATA_BYTES
    for key, value in error.metadata.items():
        value = _clip(value, budget - len(key.encode("utf-8", "replace")))
        if not value and error.metadata[key]:
            break
        info.metadata[_clip(key, 64)] = value
        budget -= len(key.encode("utf-8", "replace")) + len(value.encode())
    status = status_pb2.Status(code=status_code(error).value[0], message=message)
    status.details.add().Pack(info)
    if field := error.metadata.get("field"):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=_clip(field, _DESCRIPTION_BYTES), description=_clip(message, _DESCRIPTION_BYTES)
        )
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    delay_s = _seconds(error.metadata.get("retry_after_s"))
    if delay_s is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(delay_s * 1000))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def deadline_status(limit_s: float) -> status_pb2.Status:
    """DEADLINE_EXCEEDED, for a call that came without a deadline and took too long."""
    status = status_pb2.Status(
        code=grpc.StatusCode.DEADLINE_EXCEEDED.value[0],
        message=f"The call took more than {limit_s:g} s; give it a deadline of its own.",
    )
    info = error_details_pb2.ErrorInfo(reason="DEADLINE_EXCEEDED", domain=DOMAIN)
    status.details.add().Pack(info)
    return status


def from_status(status: status_pb2.Status) -> TagloomError:
    """The error that `to_status` was given, or the nearest one for a status of another origin."""
    code = _CODE_BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    reason, metadata = code.name, dict[str, str]()
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
    cls = _CLASS_OF.get(code, TagloomError)
    message = status.message or f"The server answered {code.name} without saying more."
    try:
        return _make(cls, message, reason, metadata)
    except ValueError:  # a reason that breaks AIP-193, from some other server
        return _make(cls, message, code.name, metadata | {"original_reason": reason})


def from_rpc_error(error: grpc.RpcError, *, target: str = "") -> TagloomError:
    """What a failed call means, whether Tagloom's server, gRPC or a proxy on the way said it."""
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # an RpcError is a Call
    except (ValueError, AttributeError):
        status = None
    if status is not None:
        return from_status(status)
    code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    details = (error.details() if isinstance(error, grpc.Call) else str(error)) or ""
    where = f" at {target}" if target else ""
    if code is grpc.StatusCode.CANCELLED and details not in _OUR_OWN_CANCELS:
        # Calls that reach a server between its decision to stop and its GOAWAY end like this.
        return Unavailable(
            f"The server{where} broke the call off, as it does when it shuts down; try again.",
            reason="CALL_BROKEN_OFF",
        )
    messages = {
        grpc.StatusCode.UNAVAILABLE: f"No server answers{where} ({details}); check the address, "
        "that the server runs, and that both sides agree on TLS.",
        grpc.StatusCode.DEADLINE_EXCEEDED: f"The server{where} did not answer before the deadline; "
        "try again, or allow more time.",
        grpc.StatusCode.UNIMPLEMENTED: f"The server{where} does not offer this method ({details}); "
        "check that the address is that of the right service and that its version matches.",
    }
    message = messages.get(code, details or f"The call failed{where} with {code.name}.")
    reason = "SERVER_UNREACHABLE" if code is grpc.StatusCode.UNAVAILABLE else code.name
    return _make(_CLASS_OF.get(code, TagloomError), message, reason, {})


def _make(
    cls: type[TagloomError], message: str, reason: str, metadata: dict[str, str]
) -> TagloomError:
    error = cls(message, reason=reason)
    error.metadata = metadata  # its keys need not be Python names, nor differ from "reason"
    return error


def _seconds(value: str | None) -> float | None:
    try:
        seconds = float(value) if value is not None else -1.0
    except ValueError:
        return None
    # 10 000 years is what a Duration holds; nobody waits a thousandth of it.
    return seconds if math.isfinite(seconds) and 0 <= seconds < 1e9 else None


def _clip(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8. File names may hold lone surrogates, protobuf may not."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= limit:
        return raw.decode()
    if limit <= 3:
        return ""
    return raw[: limit - 3].decode("utf-8", "ignore") + "…"


def _clip_middle(text: str, limit: int) -> str:
    raw = text.encode("utf-8", "replace")
    if len(raw) <= limit:
        return raw.decode()
    head = _clip(text, limit // 2)
    return head + raw[len(head.encode()) - limit :].decode("utf-8", "ignore")
