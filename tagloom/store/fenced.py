"""A store for work done under a lease: writes are refused once another owner has taken over.

What is guaranteed, and what is not, when a process writes after it was suspended and lost its
lease. No store can check one object and write another in a single step, so a write can always be
overtaken between its check of the lease and its effect. Therefore:

- `put_fenced_json` (mutable documents): the document carries the fencing number and is swapped by
  the ETag it was read with. Once a newer owner has written it, no older one can change it again.
  A newer owner writes it first of all, before it reads what it will build upon.
- `put` without a precondition reads the object's ETag, then checks the lease, then swaps. What a
  newer owner wrote stays, with one exception: if it wrote exactly the bytes that were there before
  it took over (equal bytes have equal ETags), the older owner's late bytes may replace them.
- `put(if_match=…)` is checked and passed on: the caller's ETag protects it in the same way.
- `put(if_none_match=True)` never replaces anything. A late one can only create what is missing:
  an image under its own hash, or the manifest of a result that the newer owner, doing the same
  resumable work, would also have come to.
- `put_file` and `delete` cannot be conditional on S3. The lease is checked before both, and again
  after an upload, so that nothing is built on a stale one. Use them for names that hold the
  content's hash or the fencing number, or that only this work reads.

Reads are passed on unchecked: a stale reader does no harm.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from tagloom.errors import DataLoss, InvalidArgument, Unavailable
from tagloom.store.interface import ObjectInfo, ObjectNotFound, Page, PreconditionFailed, Store
from tagloom.store.lease import LeaseLost, read_lease

__all__ = ["FencedStore", "open_fenced"]

_ATTEMPTS = 16


def open_fenced(url: str, lease_key: str, fence: int) -> FencedStore:
    """The store at `url` as the owner of a lease sees it, in another process than the owner's."""
    from tagloom.store import open_store

    return FencedStore(open_store(url, create=False), lease_key, fence)


class FencedStore(Store):
    """`store`, written to under the lease at `lease_key` with the number `fence`.

    Every write and deletion raises LeaseLost (LEASE_LOST) unless the lease document still has this
    number and is not released. It does not judge whether the lease has run out: as long as nobody
    took it, its owner may go on. Sends to another process as it is (pickle).
    """

    def __init__(self, store: Store, lease_key: str, fence: int) -> None:
        self._store = store
        self._lease_key = lease_key
        self._fence = fence

    def __reduce__(self) -> tuple[object, ...]:
        return open_fenced, (self.url, self._lease_key, self._fence)

    @property
    def url(self) -> str:
        """Opens the store without the fence; `open_fenced` opens it with."""
        return self._store.url

    @property
    def fence(self) -> int:
        """The fencing number that this store writes under."""
        return self._fence

    def check(self) -> None:
        """Raises LeaseLost (LEASE_LOST) when somebody else owns the lease, or nobody."""
        try:
            record, _ = read_lease(self._store, self._lease_key)
        except ObjectNotFound:
            raise self._lost("was removed") from None
        if record.fence != self._fence:
            raise self._lost(f"belongs to {record.owner} now")
        if record.released:
            raise self._lost("was released")

    def put_fenced_json(self, key: str, document: Mapping[str, Any]) -> str:
        """Write a mutable JSON document with `"fence"` added; returns its ETag.

        Raises LeaseLost when a newer owner has written it or owns the lease; DataLoss
        (DAMAGED_DOCUMENT) when what lies there is not a JSON object; InvalidArgument
        (DOCUMENT_INVALID) when the new one cannot be written as JSON.
        """
        try:
            body = {**document, "fence": self._fence}
            data = json.dumps(body, indent=2, allow_nan=False).encode() + b"\n"
        except (TypeError, ValueError) as error:
            raise InvalidArgument(
                f"The document {key} cannot be written as JSON ({error}); correct its values.",
                reason="DOCUMENT_INVALID",
                key=key,
            ) from error
        for _ in range(_ATTEMPTS):
            found: str | None = None
            try:
                there, found = self._store.get_with_etag(key)
            except ObjectNotFound:
                pass
            else:
                if _fence_of(key, there) > self._fence:
                    raise self._lost(f"is older than the one that wrote {key}")
            self.check()  # after the read: what a newer owner writes from here on has a new ETag
            try:
                return self._store.put(key, data, if_none_match=found is None, if_match=found)
            except PreconditionFailed:
                continue
        raise _busy(key)

    def put(
        self, key: str, data: bytes, *, if_none_match: bool = False, if_match: str | None = None
    ) -> str:
        if if_none_match or if_match is not None:
            self.check()
            return self._store.put(key, data, if_none_match=if_none_match, if_match=if_match)
        for _ in range(_ATTEMPTS):
            try:
                found = self._store.head(key).etag
            except ObjectNotFound:
                found = None
            self.check()  # after the look: what a newer owner writes from here on has a new ETag
            try:
                return self._store.put(key, data, if_none_match=found is None, if_match=found)
            except PreconditionFailed:
                continue  # our own other threads, or a newer owner: the next check tells
        raise _busy(key)

    def put_file(self, key: str, path: Path) -> str:
        self.check()
        etag = self._store.put_file(key, path)
        self.check()
        return etag

    def delete(self, key: str) -> None:
        self.check()
        self._store.delete(key)

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        return self._store.get(key, start=start, length=length)

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        return self._store.get_with_etag(key)

    def open(self, key: str) -> BinaryIO:
        return self._store.open(key)

    def head(self, key: str) -> ObjectInfo:
        return self._store.head(key)

    def get_file(self, key: str, path: Path) -> None:
        self._store.get_file(key, path)

    def list(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> Page:
        return self._store.list(prefix, after=after, limit=limit)

    def _lost(self, why: str) -> LeaseLost:
        return LeaseLost(
            f"The lease {self._lease_key} with number {self._fence} {why}; stop the work and "
            "write nothing more.",
            reason="LEASE_LOST",
            key=self._lease_key,
            fence=self._fence,
        )


def _fence_of(key: str, data: bytes) -> int:
    """The fencing number in a stored document; 0 for one that was written without."""
    try:
        document = json.loads(data)
        fence = document.get("fence", 0)
    except (ValueError, AttributeError):
        fence = None
    if not isinstance(fence, int):
        raise DataLoss(
            f"{key} is damaged: it is not a JSON object with a whole number as its fence.",
            reason="DAMAGED_DOCUMENT",
            key=key,
        )
    return fence


def _busy(key: str) -> Unavailable:
    return Unavailable(
        f"The object {key!r} is written by others all the time; try again later.",
        reason="STORE_UNAVAILABLE",
        key=key,
    )
