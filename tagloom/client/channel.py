"""Channels: TLS, token, deadlines, retries, and errors of our own classes."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import Message

from tagloom.errors import InvalidArgument
from tagloom.rpc.errors import from_rpc_error

__all__ = ["Credentials", "open_channel"]

_SERVICE_CONFIG = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{}],
                # UNAVAILABLE alone: and should the server have acted all the same, the request id
                # that every create carries makes the second try find the first one's operation.
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.2s",
                    "maxBackoff": "3s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a server may ask for. All empty: plaintext and no token."""

    token: str = ""
    tls_ca: str = ""
    """PEM file of the CA that signed the server's certificate; turns TLS on"""
    tls_client_cert: str = ""
    """PEM file of our own certificate chain, for servers that want one (mTLS)"""
    tls_client_key: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Credentials:
        """From TAGLOOM_TOKEN (or TAGLOOM_TOKEN_FILE), TAGLOOM_TLS_CA, TAGLOOM_TLS_CLIENT_CERT and
        TAGLOOM_TLS_CLIENT_KEY."""
        token = environment.get("TAGLOOM_TOKEN", "")
        if not token and (path := environment.get("TAGLOOM_TOKEN_FILE")):
            token = _read(path).decode("utf-8", "replace").strip()
        return cls(
            token=token,
            tls_ca=environment.get("TAGLOOM_TLS_CA", ""),
            tls_client_cert=environment.get("TAGLOOM_TLS_CLIENT_CERT", ""),
            tls_client_key=environment.get("TAGLOOM_TLS_CLIENT_KEY", ""),
        )


def open_channel(
    target: str,
    credentials: Credentials,
    *,
    timeout_s: float,
    max_message_mib: int = 16,
) -> grpc.Channel:
    """A channel whose calls all have a deadline and raise TagloomError.

    It connects with the first call. Raises InvalidArgument (TLS_INCOMPLETE, FILE_UNREADABLE).
    """
    options = [
        ("grpc.service_config", _SERVICE_CONFIG),
        ("grpc.max_receive_message_length", max_message_mib * 2**20),
        ("grpc.max_send_message_length", max_message_mib * 2**20),
        # Notice within a minute that the other side is gone without a word.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # After a restart of the server, look again soon: while the retries above still go on.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 1_000),
    ]
    if bool(credentials.tls_client_cert) != bool(credentials.tls_client_key):
        raise InvalidArgument(
            "A client certificate needs its key: set both TAGLOOM_TLS_CLIENT_CERT and "
            "TAGLOOM_TLS_CLIENT_KEY.",
            reason="TLS_INCOMPLETE",
        )
    if credentials.tls_ca:
        mutual = bool(credentials.tls_client_cert)
        channel = grpc.secure_channel(
            target,
            grpc.ssl_channel_credentials(
                root_certificates=_read(credentials.tls_ca),
                private_key=_read(credentials.tls_client_key) if mutual else None,
                certificate_chain=_read(credentials.tls_client_cert) if mutual else None,
            ),
            options,
        )
    else:
        channel = grpc.insecure_channel(target, options)
    return grpc.intercept_channel(channel, _Caller(target, credentials.token, timeout_s))


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class _CallDetails(_Details, grpc.ClientCallDetails):
    """`grpc.ClientCallDetails` with its fields, which the class itself leaves out."""


Continuation = Callable[[grpc.ClientCallDetails, Any], Any]


class _Caller(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Completes each call on its way out, and its error on the way back."""

    def __init__(self, target: str, token: str, timeout_s: float) -> None:
        self._target = target
        self._timeout_s = timeout_s
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()

    def intercept_unary_unary(
        self, continuation: Continuation, client_call_details: Any, request: Any
    ) -> Any:
        request = _with_request_id(request)
        for pause_s in (0.2, 0.4, 0.8, None):
            call = continuation(self._details(client_call_details), request)
            error = call.exception()
            if not isinstance(error, grpc.RpcError):
                return call
            ours = from_rpc_error(error, target=self._target)
            # As good as UNAVAILABLE, but not known to gRPC's own retries.
            if ours.reason != "CALL_BROKEN_OFF" or pause_s is None:
                raise ours from None
            time.sleep(pause_s)
        raise AssertionError("unreachable")

    def intercept_unary_stream(
        self, continuation: Continuation, client_call_details: Any, request: Any
    ) -> Any:
        return _Stream(
            continuation(self._details(client_call_details), _with_request_id(request)),
            self._target,
        )

    def _details(self, given: Any) -> grpc.ClientCallDetails:
        return _CallDetails(
            given.method,
            self._timeout_s if given.timeout is None else given.timeout,
            (*(given.metadata or ()), *self._metadata),
            given.credentials,
            given.wait_for_ready,
            given.compression,
        )


class _Stream:
    """The messages of a streaming call; its errors as ours."""

    def __init__(self, call: Any, target: str) -> None:
        self._call = call
        self._target = target

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._call)
        except grpc.RpcError as error:
            raise from_rpc_error(error, target=self._target) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)  # cancel(), code(), …


def _with_request_id(request: Any) -> Any:
    """A copy with a fresh request id where there is a field for one and it is empty (AIP-4235)."""
    if not isinstance(request, Message) or "request_id" not in request.DESCRIPTOR.fields_by_name:
        return request
    if getattr(request, "request_id", None) != "":
        return request
    copy = type(request)()
    copy.CopyFrom(request)
    setattr(copy, "request_id", str(uuid.uuid4()))  # noqa: B010  # no static type has the field
    return copy


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidArgument(
            f"The file {path} cannot be read ({error.strerror}); check its path and rights.",
            reason="FILE_UNREADABLE",
            path=path,
        ) from error
