"""The object store as the rest of Tagloom sees it: keys, bytes, ETags and two preconditions.

A key is a relative POSIX path (`collections/cats/manifest.json`). A write is atomic: readers see
the old object or the new one, never a part. `if_none_match` creates exclusively, `if_match` swaps
only what the caller has seen; both raise `PreconditionFailed` when the object is not as expected.
A name is an object or a folder of others (`a` or `a/b`), never both: a file system cannot hold the
two, and MinIO takes both but leaves `a/b` out of every listing. `tagloom.artifacts.layout` has no
such names; a local store refuses them (KEY_CONFLICT), S3 cannot check it in one request.
`tagloom.store.keys` says which keys are valid; every method that takes one raises InvalidKey.
All methods block; servers call them from threads or worker processes.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from tagloom.errors import Conflict, InvalidArgument, NotFound

__all__ = ["InvalidKey", "ObjectInfo", "ObjectNotFound", "Page", "PreconditionFailed", "Store"]


class ObjectNotFound(NotFound):
    """No object lies under the key."""


class PreconditionFailed(Conflict):
    """`if_none_match` met an object, or `if_match` met another one than was seen."""


class InvalidKey(InvalidArgument):
    """The key is empty, absolute, too long, or would leave the store."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a listing or a head request tells of an object."""

    key: str
    size: int
    """bytes"""
    etag: str
    """opaque; equal ETags of one key mean equal bytes"""
    modified: datetime
    """UTC"""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing, in ascending byte order of keys."""

    objects: list[ObjectInfo]
    next_after: str | None
    """pass as `after` for the next page; None on the last one"""


class Store(abc.ABC):
    """An object store. Safe to share between threads; reopen by `url` in another process."""

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """What `open_store` takes to open the same store elsewhere; never holds a secret."""

    @abc.abstractmethod
    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Bytes [start, start+length) of the object (short at its end).

        Raises ObjectNotFound; InvalidArgument (RANGE_OUT_OF_BOUNDS) when `start` or `length` is
        negative or `start` lies beyond the end (at the end it gives no bytes).
        """

    @abc.abstractmethod
    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        """The whole object and the ETag of exactly these bytes, for compare-and-swap."""

    @abc.abstractmethod
    def open(self, key: str) -> BinaryIO:
        """A seekable stream over the object, reading ranges as needed; use as a context manager.

        All its bytes are of one version: a local store keeps reading the one that it opened, S3
        raises Conflict (OBJECT_REPLACED) when it is no longer there.
        """

    @abc.abstractmethod
    def head(self, key: str) -> ObjectInfo:
        """Size, ETag and time of the object. Raises ObjectNotFound."""

    @abc.abstractmethod
    def put(
        self, key: str, data: bytes, *, if_none_match: bool = False, if_match: str | None = None
    ) -> str:
        """Write the object in one atomic, durable step; returns its ETag.

        `if_none_match=True`: only if nothing lies there. `if_match`: only if this ETag lies there.
        Raises PreconditionFailed; ResourceExhausted (STORE_FULL); Unavailable (STORE_UNAVAILABLE).
        """

    @abc.abstractmethod
    def put_file(self, key: str, path: Path) -> str:
        """Write a file of any size, unconditionally and atomically; returns the ETag.

        Raises InvalidArgument (FILE_UNUSABLE) for the file, otherwise as `put` does.
        """

    @abc.abstractmethod
    def get_file(self, key: str, path: Path) -> None:
        """Download the object to `path`, which appears complete or not at all.

        Raises ObjectNotFound; InvalidArgument (FILE_UNUSABLE); ResourceExhausted (DISK_FULL).
        """

    @abc.abstractmethod
    def delete(self, key: str) -> None:
        """Remove the object; nothing happens if it is not there."""

    @abc.abstractmethod
    def list(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> Page:
        """Objects whose key starts with `prefix` and sorts after `after`."""

    def iterate(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object under `prefix`, page by page."""
        after: str | None = ""
        while after is not None:
            page = self.list(prefix, after=after)
            yield from page.objects
            after = page.next_after

    def exists(self, key: str) -> bool:
        """Whether an object lies under the key."""
        try:
            self.head(key)
        except ObjectNotFound:
            return False
        return True
