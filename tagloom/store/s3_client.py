"""What lies between `S3Store` and the `minio` client: settings, conditional PUTs, errors, retries.

The client's own `put_object` drops `If-None-Match` and `If-Match` given as metadata and overwrites
in silence, so conditional writes go through its private `_put_object`. That is why the requirement
is pinned; a test checks the method's signature and what it does to a real server.
"""

from __future__ import annotations

import ipaddress
import os
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import urlsplit

import certifi
import urllib3
from minio import Minio
from minio.error import InvalidResponseError, S3Error, ServerError
from urllib3.exceptions import HTTPError, SSLError

from tagloom.errors import (
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    TagloomError,
    Unauthenticated,
    Unavailable,
)
from tagloom.store.faults import not_found
from tagloom.store.interface import InvalidKey
from tagloom.store.tally import TALLY

__all__ = [
    "Settings",
    "conditional_put",
    "connection_pool",
    "make_client",
    "read_credentials",
    "refusal",
    "with_retries",
]

Answer = TypeVar("Answer")

_HOST = re.compile(r"[A-Za-z0-9._:-]+")
_FULL = {"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded"}
_WHO = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}
# 409: two conditional writes met; NoSuchUpload: a multipart upload was completed or swept under us.
_PASSING = {"ConditionalRequestConflict", "OperationAborted", "NoSuchUpload", "RequestTimeout"}


@dataclass(frozen=True)
class Settings:
    """Where the S3 server is and who asks. Secrets stay out of `repr`."""

    endpoint: str
    """host:port"""
    secure: bool
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    region: str | None = None
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    attempts: int = 5
    """How often a request is tried in all; the pauses between double from 0.2 s to 5 s"""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Settings from MINIO_ENDPOINT, MINIO_ACCESS_KEY, MINIO_SECRET_KEY and, where the server
        has regions, MINIO_REGION.

        Instead of a key its file may be named, in MINIO_ACCESS_KEY_FILE and MINIO_SECRET_KEY_FILE
        (mounted secrets); a key itself wins.

        The endpoint is `http://host:port` or `https://host:port`; without a scheme a loopback
        address means http, any other https. Raises FailedPrecondition (STORE_NOT_CONFIGURED).
        """
        endpoint, access_key, secret_key = read_credentials(
            environment, "MINIO_ENDPOINT", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"
        )
        try:
            split = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
            host = split.hostname
            _ = split.port  # raises ValueError when it is none
        except ValueError:
            host = None
        if (
            not host
            or not _HOST.fullmatch(host)
            or split.scheme not in ("", "http", "https")
            or "@" in split.netloc  # not shown: it holds a password
            or split.path not in ("", "/")
            or split.query
            or split.fragment
        ):
            raise _unconfigured("cannot use MINIO_ENDPOINT; write http://host:port or https://…")
        secure = split.scheme == "https" or (not split.scheme and not _is_loopback(host))
        region = environment.get("MINIO_REGION") or None
        return cls(split.netloc, secure, access_key, secret_key, region)

    @property
    def shown(self) -> str:
        """The endpoint as a URL, for messages."""
        return f"{'https' if self.secure else 'http'}://{self.endpoint}"


def read_credentials(environment: Mapping[str, str], *names: str) -> list[str]:
    """The values of these variables; of one that is not set, what the file at `<NAME>_FILE` holds.

    Raises FailedPrecondition (STORE_NOT_CONFIGURED) naming all that are missing.
    """
    values = {name: environment.get(name) or _from_file(environment, name) for name in names}
    missing = [name for name, value in values.items() if not value]
    if missing:
        them = "it" if len(missing) == 1 else "them"
        raise _unconfigured(f"needs {' and '.join(missing)}; set {them} in the environment")
    return list(values.values())


def _from_file(environment: Mapping[str, str], name: str) -> str:
    path = environment.get(f"{name}_FILE", "")
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise _unconfigured(
            f"cannot read the file that {name}_FILE names ({why}); correct the path or the secret "
            "that is mounted there"
        ) from None


def make_client(settings: Settings, *, repeat: bool = False) -> Minio:
    """A client that tries each request once: what may be repeated is `with_retries`' to judge.

    With `repeat` it repeats failed requests by itself: for the parts of an upload.
    """
    again = urllib3.Retry(
        settings.attempts - 1,
        backoff_factor=0.2,
        backoff_max=5.0,
        status_forcelist=(500, 502, 503, 504),
        allowed_methods=None,
    )
    pool = connection_pool(settings, again if repeat else False)
    try:
        return Minio(
            settings.endpoint,
            settings.access_key,
            settings.secret_key,
            secure=settings.secure,
            region=settings.region,
            http_client=pool,
        )
    except ValueError as error:
        raise _unconfigured(f"cannot use MINIO_ENDPOINT ({error}); correct it") from None


def connection_pool(
    settings: Settings, retries: urllib3.Retry | Literal[False] = False
) -> urllib3.PoolManager:
    """Connections with the settings' timeouts, which check certificates."""
    return urllib3.PoolManager(
        timeout=urllib3.Timeout(
            connect=settings.connect_timeout_s,
            read=settings.read_timeout_s,
        ),
        maxsize=64,
        retries=retries,
        cert_reqs="CERT_REQUIRED",
        ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
    )


def conditional_put(
    client: Minio, bucket: str, name: str, data: bytes, *, headers: Mapping[str, str]
) -> str:
    """One PUT with these headers as they are; returns the ETag. Raises as the client does."""
    # A copy: the client adds its authorization to the dictionary that it is given.
    result = client._put_object(bucket, name, data, dict(headers))
    if not result.etag:
        raise ServerError("the server sent no ETag", 502)
    return result.etag


def with_retries(
    settings: Settings, bucket: str, key: str, attempt: Callable[[int], Answer]
) -> Answer:
    """Call `attempt(n)`, n = 0, 1, …, until it answers or its error says that it will not.

    Raises what `refusal` makes of the error; Unavailable when the attempts are used up.
    """
    for number in range(settings.attempts):
        if number:
            TALLY.retried()
            time.sleep(random.uniform(0.5, 1.0) * min(0.2 * 2**number, 5.0))
        try:
            return attempt(number)
        except (S3Error, ServerError, InvalidResponseError, HTTPError) as error:
            fault = refusal(error, settings, bucket, key)
            if not isinstance(fault, Unavailable) or number == settings.attempts - 1:
                raise fault from error
    raise AssertionError("at least one attempt is made")


def refusal(error: Exception, settings: Settings, bucket: str, key: str) -> TagloomError:
    """What an error of the client means; Unavailable if the same request may succeed later."""
    where = f"The object store at {settings.shown}"
    if not isinstance(error, S3Error):
        return _no_answer(error, where)
    code, text = error.code, error.message
    if code == "NoSuchKey":
        return not_found(key, f"s3://{bucket}")
    if code == "NoSuchBucket":
        return NotFound(
            f"{where} has no bucket {bucket!r}; create it, or correct the store's URL.",
            reason="STORE_NOT_FOUND",
            bucket=bucket,
        )
    if code in _FULL:
        return ResourceExhausted(
            f"{where} is full ({code}); nothing that was there is changed: free some space and "
            "try again.",
            reason="STORE_FULL",
            key=key,
        )
    if code in _WHO:
        return Unauthenticated(
            f"{where} does not accept the credentials ({code}); check MINIO_ACCESS_KEY and "
            "MINIO_SECRET_KEY.",
            reason="STORE_CREDENTIALS_REFUSED",
        )
    if code in ("AccessDenied", "AllAccessDisabled"):
        return PermissionDenied(
            f"{where} denies access to bucket {bucket!r}; give this access key read, write, "
            "delete and list permissions there.",
            reason="STORE_ACCESS_DENIED",
            bucket=bucket,
        )
    if code in ("XMinioInvalidObjectName", "XMinioInvalidResourceName", "KeyTooLongError"):
        return InvalidKey(f"{where} refuses the key {key!r} ({code}); choose another name.",
                          reason="INVALID_KEY", key=key)  # fmt: skip
    if code == "RequestTimeTooSkewed":
        return FailedPrecondition(
            f"{where} and this machine disagree about the time; set the clocks.",
            reason="STORE_CLOCK_SKEW",
        )
    if code in _PASSING or _passes(error.response.status):
        return Unavailable(
            f"{where} cannot answer now ({code}: {text}); try again later.",
            reason="STORE_UNAVAILABLE",
            endpoint=settings.shown,
        )
    return FailedPrecondition(
        f"{where} refused the request ({code}: {text}); check its configuration.",
        reason="STORE_REFUSED",
        code=code,
    )


def _no_answer(error: Exception, where: str) -> TagloomError:
    if isinstance(error, ServerError | InvalidResponseError):
        status = error.status_code if isinstance(error, ServerError) else error._code
        if not _passes(status):
            return FailedPrecondition(
                f"{where} does not speak S3 (HTTP status {status}); check MINIO_ENDPOINT.",
                reason="STORE_REFUSED",
                status=status,
            )
        why = f"HTTP status {status}"
    elif isinstance(error, SSLError):
        why = f"TLS failed: {error.args[0] if error.args else error}"
        why += "; a server without TLS needs http:// in MINIO_ENDPOINT"
    else:
        why = type(error).__name__
    return Unavailable(
        f"{where} does not answer ({why}); check that it runs, then try again.",
        reason="STORE_UNAVAILABLE",
        endpoint=where.rpartition(" ")[2],
    )


def _passes(status: int) -> bool:
    return status in (408, 429, 500, 502, 503, 504)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _unconfigured(what: str) -> FailedPrecondition:
    return FailedPrecondition(f"An S3 store {what}.", reason="STORE_NOT_CONFIGURED")
