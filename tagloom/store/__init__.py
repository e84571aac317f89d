"""Object store: `open_store(url)` gives a `Store`, whatever lies behind."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from tagloom.errors import InvalidArgument
from tagloom.store.interface import (
    InvalidKey,
    ObjectInfo,
    ObjectNotFound,
    Page,
    PreconditionFailed,
    Store,
)

__all__ = [
    "InvalidKey",
    "ObjectInfo",
    "ObjectNotFound",
    "Page",
    "PreconditionFailed",
    "Store",
    "open_store",
]


def open_store(url: str, *, create: bool = True) -> Store:
    """Open the store at `url`; with `create`, make the folder or the bucket where missing.

    `url` is a folder's path, `file:///absolute/path`, or `s3://bucket[/prefix]`. S3 takes its
    server and credentials from MINIO_ENDPOINT, MINIO_ACCESS_KEY and MINIO_SECRET_KEY
    (`tagloom.store.s3` says more), so that a URL never holds a secret.

    Raises InvalidArgument (STORE_URL_INVALID), NotFound (STORE_NOT_FOUND) without `create`,
    FailedPrecondition (STORE_NOT_CONFIGURED), PermissionDenied, Unauthenticated, Unavailable.
    """
    if "://" not in url:
        if not url or "\0" in url:
            raise _invalid(url, "is not a path")
        from tagloom.store.local import LocalStore

        return LocalStore(Path(url), create=create)
    split = urlsplit(url)
    if split.scheme == "file":
        if split.netloc not in ("", "localhost") or not split.path or split.query or split.fragment:
            raise _invalid(url, "does not name a folder of this machine")
        from tagloom.store.local import LocalStore

        return LocalStore(Path(unquote(split.path)), create=create)
    if split.scheme == "s3":
        if split.username is not None or split.password is not None:
            # The URL is logged and stored: do not repeat it here either.
            raise InvalidArgument(
                "The store's URL holds credentials; give them in MINIO_ACCESS_KEY and "
                "MINIO_SECRET_KEY instead.",
                reason="STORE_URL_INVALID",
            )
        if not split.netloc or split.query or split.fragment:
            raise _invalid(url, "names no bucket, or more than bucket and prefix")
        from tagloom.store.s3 import S3Store

        return S3Store.from_environment(split.netloc, split.path.strip("/"), create=create)
    raise _invalid(url, f"has the unknown scheme {split.scheme!r}")


def _invalid(url: str, fault: str) -> InvalidArgument:
    return InvalidArgument(
        f"The store {url!r} {fault}; use a folder, file:///folder, or s3://bucket/prefix.",
        reason="STORE_URL_INVALID",
        url=url,
    )
