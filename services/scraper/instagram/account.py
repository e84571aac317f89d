"""One account, or one address without an account: who may use it, and what Instagram has had of it.

Instagram counts requests by account, whatever asks. So an account is lent to one collection at a
time, by a lease in the store, and what was asked in its name, and until when it has to rest, lies
beside the lease: another process, another replica, another collection goes on from there.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

from pydantic import Field

from services.scraper.instagram.pace import Waiter
from services.scraper.instagram.settings import InstagramSettings
from tagloom.artifacts import layout
from tagloom.artifacts.base import Manifest, now
from tagloom.errors import TagloomError
from tagloom.store.interface import ObjectNotFound, PreconditionFailed, Store
from tagloom.store.lease import Lease, LeaseHeld, LeaseLost, acquire

__all__ = ["Account"]

_REMEMBERED = timedelta(hours=1)
"""Instaloader's windows are shorter"""
_LOOK_S = 1.0


class _State(Manifest):
    """What `accounts/<hash>/state.json` says. Nothing in it is the session's."""

    requests: dict[str, tuple[datetime, ...]] = Field(default_factory=dict)
    """when Instagram was asked in the last hour, by Instaloader's kind of query"""
    not_before: datetime | None = None
    """no request before then"""
    reason: str = ""
    """why"""
    limited_in_a_row: int = 0
    session: str = ""
    """which session was refused, by the start of its hash; empty unless one was"""


class Account:
    """The account that a collection works with. Lent by `borrowed`."""

    def __init__(self, store: Store, settings: InstagramSettings, waiter: Waiter) -> None:
        session = settings.session
        self.name = "this address, without an account" if session is None else session.username
        identity = "anonymous" if session is None else f"account {session.username.lower()}"
        self._key = hashlib.sha256(f"instagram {identity}".encode()).hexdigest()[:32]
        self._session = (
            "" if session is None else hashlib.sha256(session.cookies["sessionid"].encode())
            .hexdigest()[:16]
        )  # fmt: skip
        self._store = store
        self._waiter = waiter
        self._ttl_s = settings.lease_s
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._lease: Lease | None = None
        self._state, self._etag = _State(), ""
        self.generation = 0
        """grows when the account was somebody else's in between"""

    @classmethod
    @contextmanager
    def borrowed(
        cls, store: Store, settings: InstagramSettings, waiter: Waiter
    ) -> Iterator[Account]:
        """Waits for the account, keeps it, and gives it back. Raises Cancelled from the wait."""
        account = cls(store, settings, waiter)
        ended = threading.Event()
        keeper = threading.Thread(target=account._renew, args=(ended,), name="account", daemon=True)
        account.hold()
        keeper.start()
        try:
            yield account
        finally:
            ended.set()
            keeper.join()
            if account._lease is not None:
                with suppress(TagloomError):
                    account._lease.release()

    def hold(self) -> None:
        """The account is ours from now on, until the next call; waits for it if it was lost."""
        while self._lease is None or self._lease.remaining_s <= 0:
            try:
                if self._lease is not None:
                    with suppress(LeaseLost):
                        self._lease.renew()  # it ran out, and nobody took it
                        continue
                    self._lease = None
                self._lease = acquire(
                    self._store, layout.account_lease(self._key), self._owner, self._ttl_s
                )
            except LeaseHeld:
                self._waiter.stand_by(_LOOK_S, f"another collection is using {self.name}")
                continue
            self._load()

    @property
    def requests(self) -> dict[str, tuple[datetime, ...]]:
        """When Instagram was asked in this account's name, by kind of query."""
        return self._state.requests

    @property
    def not_before(self) -> tuple[datetime, str] | None:
        """Until when the account rests, and why; None when it need not."""
        state = self._state
        if state.not_before is None or state.not_before <= datetime.now(UTC):
            return None
        if state.session and state.session != self._session:
            return None  # another session than the one that was refused
        return state.not_before, state.reason

    @property
    def limited_in_a_row(self) -> int:
        """Pauses that Instagram asked for since it last answered well."""
        return self._state.limited_in_a_row

    def note_request(self, kind: str) -> None:
        """A query is about to be sent. Durable before it is."""
        time, requests = now(), dict(self._state.requests)
        requests[kind] = (*requests.get(kind, ()), time)
        recent = {
            name: tuple(t for t in times if time - t < _REMEMBERED)
            for name, times in requests.items()
        }
        self._write(requests={name: times for name, times in recent.items() if times})

    def rest(self, until: datetime, reason: str, *, limited: bool) -> None:
        """No request before then. limited: Instagram wants fewer; else it refuses the session."""
        self._write(
            not_before=until,
            reason=reason,
            limited_in_a_row=self._state.limited_in_a_row + limited,
            session="" if limited else self._session,
        )

    def answered(self) -> None:
        """Instagram answered well: durable with the next write."""
        if self._state.limited_in_a_row or self._state.not_before:
            changed = {"limited_in_a_row": 0, "not_before": None, "reason": "", "session": ""}
            self._state = self._state.model_copy(update=changed)

    def _load(self) -> None:
        key = layout.account_state(self._key)
        self.generation += 1
        try:
            data, self._etag = self._store.get_with_etag(key)
        except ObjectNotFound:
            self._state, self._etag = _State(), ""
        else:
            self._state = _State.from_bytes(data, key)

    def _write(self, **changes: object) -> None:
        state = self._state.model_copy(update=changes)
        key = layout.account_state(self._key)
        try:
            self._etag = self._store.put(
                key,
                state.to_bytes(),
                if_none_match=not self._etag,
                if_match=self._etag or None,
            )
            self._state = state
        except PreconditionFailed:
            # Somebody else had the account meanwhile: their history counts, too.
            self._lease = None
            self.hold()
            self._write(**{k: v for k, v in changes.items() if k != "requests"})

    def _renew(self, ended: threading.Event) -> None:
        while not ended.wait(self._ttl_s / 3):
            lease = self._lease
            if lease is None:
                continue
            try:
                lease.renew()
            except LeaseLost:
                continue  # `hold` sees it, as it has run out
            except TagloomError:
                continue  # the store does not answer; the next try may come in time
