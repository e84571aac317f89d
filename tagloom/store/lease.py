"""Leases over any store: one document, swapped by `If-Match`, says who may work on something.

The document holds the owner, a fencing number and how long a sign of life lasts (`ttl_s`). Every
renewal changes it. No two machines' clocks are ever compared (as in Kubernetes' leader election):

- the owner counts `ttl_s` on its own monotonic clock from the moment before it wrote;
- everybody else counts `ttl_s` on theirs from the moment they first saw that very version of the
  document, which is later. So others wait at least as long as the owner believes to own, as long
  as clocks run at the same speed; and whoever meets a lease for the first time waits a whole ttl.

That keeps two owners apart while processes run. A process that is suspended and wakes up late still
believes: what stops its writes is the fencing number (M. Kleppmann, "How to do distributed
locking", 2016), which `tagloom.store.fenced` checks. The number grows with every change of owner
and survives a release, because a release rewrites the document instead of removing it. Delete the
document only together with everything that was written under it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tagloom.errors import Conflict, DataLoss, InvalidArgument
from tagloom.store.interface import ObjectNotFound, PreconditionFailed, Store

__all__ = ["Lease", "LeaseHeld", "LeaseLost", "LeaseRecord", "Sightings", "acquire", "read_lease"]

Clock = Callable[[], float]


class LeaseHeld(Conflict):
    """Somebody else owns the lease, or won the race for it."""


class LeaseLost(Conflict):
    """The lease is not ours any more: stop, and write nothing."""


class LeaseRecord(BaseModel):
    """The document in the store."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    owner: str
    fence: int = Field(ge=1)
    ttl_s: float = Field(gt=0)
    renewals: int = Field(default=0, ge=0)
    """makes each renewal a new document, hence a new ETag"""
    released: bool = False
    expires: datetime
    """by the owner's wall clock; for people, never for decisions"""


class Sightings:
    """When this process first saw the current version of each lease. Safe to share by threads."""

    def __init__(self, clock: Clock = time.monotonic, *, remembered: int = 10_000) -> None:
        self._clock = clock
        self._remembered = remembered
        self._seen: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()
        self._lock = threading.Lock()

    def age_s(self, store: Store, key: str, etag: str) -> float:
        """Seconds since this version was first seen here; 0 when it is new."""
        now = self._clock()
        with self._lock:
            seen = self._seen.get((store.url, key))
            if seen is None or seen[0] != etag:
                seen = (etag, now)
            self._seen[store.url, key] = seen
            self._seen.move_to_end((store.url, key))
            if len(self._seen) > self._remembered:
                self._seen.popitem(last=False)
        return now - seen[1]

    def forget(self, store: Store, key: str) -> None:
        """The lease is ours: it needs no watching."""
        with self._lock:
            self._seen.pop((store.url, key), None)


_SIGHTINGS = Sightings()


def read_lease(store: Store, key: str) -> tuple[LeaseRecord, str]:
    """The document and its ETag. Raises ObjectNotFound; DataLoss (DAMAGED_LEASE)."""
    data, etag = store.get_with_etag(key)
    try:
        return LeaseRecord.model_validate_json(data), etag
    except ValidationError as error:
        raise DataLoss(
            f"The lease {key} is damaged; stop what works under it, then remove it.",
            reason="DAMAGED_LEASE",
            key=key,
        ) from error


def acquire(
    store: Store, key: str, owner: str, ttl_s: float, *, sightings: Sightings = _SIGHTINGS
) -> Lease:
    """Own the lease from now on, without waiting; call again until an old owner has expired.

    `owner` names one life of one process (a host, a process id and something random): the same
    name after a restart is another owner, who waits too. `sightings` must live as long as the
    calls are repeated; by default it is the process's.

    Raises LeaseHeld (LEASE_HELD) with the owner and, in `remaining_s`, how long it may last;
    InvalidArgument (LEASE_INVALID) unless `owner` is given and `ttl_s` is positive.
    """
    if not owner or not ttl_s > 0:
        raise InvalidArgument(
            f"A lease needs an owner and a positive time to live, not {owner!r} and {ttl_s} s.",
            reason="LEASE_INVALID",
        )
    started = time.monotonic()
    fence, found = 1, None
    try:
        record, found = read_lease(store, key)
    except ObjectNotFound:
        pass
    else:
        if not record.released:
            remaining_s = record.ttl_s - sightings.age_s(store, key, found)
            if remaining_s > 0:
                _held(key, record.owner, remaining_s)
        fence = record.fence + 1
    record = LeaseRecord(owner=owner, fence=fence, ttl_s=ttl_s, expires=_expires(ttl_s))
    try:
        etag = store.put(key, _bytes(record), if_none_match=found is None, if_match=found)
    except PreconditionFailed:
        _held(key, "another process, which was faster", ttl_s)
    sightings.forget(store, key)
    return Lease(store, key, record, etag, started)


class Lease:
    """Ownership of one key by one owner. Safe to share by threads."""

    def __init__(
        self, store: Store, key: str, record: LeaseRecord, etag: str, renewed: float
    ) -> None:
        self.key = key
        self.owner = record.owner
        self.fence = record.fence
        """grows with every change of owner; goes into every document written under the lease"""
        self.ttl_s = record.ttl_s
        self._store = store
        self._record = record
        self._etag = etag
        self._renewed = renewed
        self._lost = False
        self._lock = threading.Lock()

    @property
    def remaining_s(self) -> float:
        """Seconds until others may take over; 0 once that may have happened."""
        if self._lost:
            return 0.0
        return max(0.0, self.ttl_s - (time.monotonic() - self._renewed))

    def check(self) -> None:
        """Raises LeaseLost (LEASE_LOST) when the lease is gone or has run out. Asks nobody."""
        if self.remaining_s <= 0:
            raise self._error("ran out")  # a renewal may still make it good

    def renew(self) -> None:
        """Give the next sign of life; call it every third of `ttl_s`.

        A lease that ran out and that nobody took is still ours to renew. Raises LeaseLost
        (LEASE_LOST); Unavailable, after which calling again is right.
        """
        with self._lock:
            self._swap(released=False)

    def release(self) -> None:
        """Let the next owner in at once. Nothing happens if the lease is lost already."""
        with self._lock:
            if self._lost:
                return
            try:
                self._swap(released=True)
            except LeaseLost:
                return
            self._lost = True

    def _swap(self, *, released: bool) -> None:
        if self._lost:
            self._lose("was released or lost before")
        started = time.monotonic()
        for _ in range(2):
            record = self._record.model_copy(
                update={
                    "renewals": self._record.renewals + 1,
                    "released": released,
                    "expires": _expires(self.ttl_s),
                }
            )
            try:
                etag = self._store.put(self.key, _bytes(record), if_match=self._etag)
            except PreconditionFailed:
                # Ours after all, if an earlier renewal was carried out and its answer lost.
                self._adopt()
                continue
            self._record, self._etag, self._renewed = record, etag, started
            return
        self._lose("is written by another process in our name")

    def _adopt(self) -> None:
        """Go on from the document in the store if it is still ours."""
        try:
            record, etag = read_lease(self._store, self.key)
        except ObjectNotFound:
            self._lose("was removed")
        if (record.owner, record.fence) != (self.owner, self.fence) or record.released:
            self._lose(f"belongs to {record.owner} now")
        self._record, self._etag = record, etag

    def _lose(self, why: str) -> NoReturn:
        self._lost = True
        raise self._error(why)

    def _error(self, why: str) -> LeaseLost:
        return LeaseLost(
            f"The lease {self.key} of {self.owner} {why}; stop the work and write nothing more.",
            reason="LEASE_LOST",
            key=self.key,
            fence=self.fence,
        )


def _expires(ttl_s: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=ttl_s)


def _bytes(record: LeaseRecord) -> bytes:
    return record.model_dump_json(indent=2).encode() + b"\n"


def _held(key: str, owner: str, remaining_s: float) -> NoReturn:
    raise LeaseHeld(
        f"The lease {key} belongs to {owner} for up to {remaining_s:.1f} s; try again then.",
        reason="LEASE_HELD",
        key=key,
        owner=owner,
        remaining_s=f"{remaining_s:.3f}",
    )
