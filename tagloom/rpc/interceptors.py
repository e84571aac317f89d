"""Around every call: request id, token, deadline, errors, metrics and one log line."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import inspect
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from tagloom.errors import InvalidArgument, TagloomError, Unauthenticated
from tagloom.rpc.errors import deadline_status, internal_error, to_status
from tagloom.rpc.logs import request_id
from tagloom.rpc.metrics import CallMetrics

__all__ = ["CallInterceptor"]

_log = logging.getLogger(__name__)

_DETAILS = "grpc-status-details-bin"
_REQUEST_ID_KEY = "x-request-id"
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,64}")
_QUIET = ("grpc.health.", "grpc.reflection.")
"""Asked every few seconds by machines: logged at DEBUG only."""

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic in the stubs alone
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]"


@dataclass(frozen=True, slots=True)
class _Method:
    kind: str
    service: str
    name: str

    @property
    def labels(self) -> tuple[str, str, str]:
        return self.kind, self.service, self.name


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of all services of a server. One class, since the order matters:
    whatever happens inside is turned into a status, and every status is counted and logged."""

    def __init__(self, metrics: CallMetrics, *, token: str = "", deadline_s: float = 60.0) -> None:
        """`token`: what callers must bring as a bearer token; empty: nothing. `deadline_s`: for
        unary calls that bring none."""
        self._metrics = metrics
        self._expected = f"Bearer {token}".encode() if token else b""
        self._deadline_s = deadline_s

    async def intercept_service(  # type: ignore[override]  # the stubs ask for a generic method
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None  # gRPC answers UNIMPLEMENTED
        service, _, name = handler_call_details.method.removeprefix("/").rpartition("/")
        codec = (_readable(handler.request_deserializer), handler.response_serializer)
        streamed = handler.request_streaming
        if handler.response_streaming:
            kind = "bidi_stream" if streamed else "server_stream"
            behavior = handler.stream_stream if streamed else handler.unary_stream
            wrapped = self._streaming(_Method(kind, service, name), behavior)
            if streamed:
                return grpc.stream_stream_rpc_method_handler(wrapped, *codec)
            return grpc.unary_stream_rpc_method_handler(wrapped, *codec)
        kind = "client_stream" if streamed else "unary"
        behavior = handler.stream_unary if streamed else handler.unary_unary
        unary = self._unary(_Method(kind, service, name), behavior)
        if streamed:
            return grpc.stream_unary_rpc_method_handler(unary, *codec)
        return grpc.unary_unary_rpc_method_handler(unary, *codec)

    def _unary(self, method: _Method, behavior: Any) -> Any:
        async def call(request: Any, context: Context) -> Any:
            async with self._around(method, context):
                limit_s = self._deadline_s if context.time_remaining() is None else None
                async with _deadline(context, limit_s):
                    response = await behavior(self._counted(method, request), context)
                self._metrics.sent.labels(*method.labels).inc()
                return response

        return call

    def _streaming(self, method: _Method, behavior: Any) -> Any:
        # grpc.aio tells its two kinds of streaming handlers apart by looking at the function.
        if inspect.isasyncgenfunction(behavior):

            async def generate(request: Any, context: Context) -> AsyncIterator[Any]:
                async with self._around(method, context):
                    async for response in behavior(self._counted(method, request), context):
                        self._metrics.sent.labels(*method.labels).inc()
                        yield response

            return generate

        async def write(request: Any, context: Context) -> None:
            async with self._around(method, context):
                await behavior(self._counted(method, request), context)

        return write

    def _counted(self, method: _Method, request: Any) -> Any:
        received = self._metrics.received.labels(*method.labels)
        if method.kind in ("unary", "server_stream"):
            received.inc()
            return _read(request)

        async def count() -> AsyncIterator[Any]:
            async for message in request:
                received.inc()
                yield _read(message)

        return count()

    @contextlib.asynccontextmanager
    async def _around(self, method: _Method, context: Context) -> AsyncIterator[None]:
        began = time.perf_counter()
        # Asked for now: once the caller has gone away, `peer()` reads freed memory (grpcio 1.85).
        peer, limit_s = context.peer(), context.time_remaining()
        self._metrics.started.labels(*method.labels).inc()
        metadata = dict(context.invocation_metadata() or ())
        current = request_id.set(_request_id(metadata.get(_REQUEST_ID_KEY)))
        context.set_trailing_metadata(((_REQUEST_ID_KEY, request_id.get()),))
        code = grpc.StatusCode.UNKNOWN
        try:
            self._authenticate(metadata.get("authorization"))
            yield
            code = _code(context) or grpc.StatusCode.OK
        except TagloomError as error:
            status = to_status(error)
            code = _code_of(status)
            await _abort(context, status)
        except asyncio.CancelledError:
            # The caller went away, or its deadline passed: gRPC has answered already.
            expired = limit_s is not None and time.perf_counter() - began >= limit_s
            code = grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED
            raise
        except grpc.aio.AbortError:
            code = _code(context) or grpc.StatusCode.UNKNOWN
            raise
        except Exception as error:
            doing = f"answering {method.service}/{method.name}"
            status = to_status(internal_error(error, doing=doing))
            code = grpc.StatusCode.INTERNAL
            await _abort(context, status)
        finally:
            seconds = time.perf_counter() - began
            self._metrics.handled.labels(*method.labels, code.name).inc()
            self._metrics.seconds.labels(*method.labels).observe(seconds)
            _log.log(
                logging.DEBUG if method.service.startswith(_QUIET) else logging.INFO,
                "%s/%s %s",
                method.service,
                method.name,
                code.name,
                extra={
                    "grpc_service": method.service,
                    "grpc_method": method.name,
                    "grpc_code": code.name,
                    "seconds": round(seconds, 6),
                    "peer": peer,
                },
            )
            # An async generator may be closed in another context than it was begun in.
            with contextlib.suppress(ValueError):
                request_id.reset(current)

    def _authenticate(self, given: str | bytes | None) -> None:
        if not self._expected:
            return
        presented = given.encode("utf-8", "replace") if isinstance(given, str) else given or b""
        # Constant time: how long a refusal takes must not tell how much of a guess was right.
        if not hmac.compare_digest(presented, self._expected):
            raise Unauthenticated(
                "The token is wrong; set TAGLOOM_TOKEN to the one that the server was given."
                if given
                else "The server wants a bearer token; set TAGLOOM_TOKEN.",
                reason="TOKEN_INVALID" if given else "TOKEN_MISSING",
            )


class _Unreadable:
    """In the place of a request whose bytes are no message."""


def _readable(deserialize: Any) -> Any:
    # What a deserializer raises, gRPC answers by itself: UNKNOWN, in Python's words.
    def parse(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            return _Unreadable()

    return deserialize and parse


def _read(request: Any) -> Any:
    if isinstance(request, _Unreadable):
        raise InvalidArgument(
            "The request is not a message of this method's type; make it from the server's own "
            "protos (tagloom.v1), with text in UTF-8.",
            reason="REQUEST_MALFORMED",
        )
    return request


@contextlib.asynccontextmanager
async def _deadline(context: Context, limit_s: float | None) -> AsyncIterator[None]:
    timeout = asyncio.timeout(limit_s)
    try:
        async with timeout:
            yield
    except TimeoutError:
        if not timeout.expired():
            raise  # the handler's own
        await _abort(context, deadline_status(limit_s or 0.0))


async def _abort(context: Context, status: status_pb2.Status) -> None:
    await context.abort_with_status(_Status(_code_of(status), status.message, _trailers(status)))


class _StatusFields(NamedTuple):
    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


class _Status(_StatusFields, grpc.Status):
    """What `abort_with_status` reads; it replaces all trailing metadata set before."""


def _trailers(status: status_pb2.Status) -> tuple[tuple[str, str | bytes], ...]:
    return ((_DETAILS, status.SerializeToString()), (_REQUEST_ID_KEY, request_id.get()))


def _request_id(given: str | bytes | None) -> str:
    if isinstance(given, str) and _REQUEST_ID.fullmatch(given):
        return given
    return uuid.uuid4().hex


def _code(context: Context) -> grpc.StatusCode | None:
    """The code set on the context. `grpc.aio` gives the bare number; 0 for none."""
    number: Any = context.code()
    if isinstance(number, grpc.StatusCode):
        return number
    return next((code for code in grpc.StatusCode if code.value[0] == number), None)


def _code_of(status: status_pb2.Status) -> grpc.StatusCode:
    return next(code for code in grpc.StatusCode if code.value[0] == status.code)
