"""Whoever trains a run owns it: the training process itself, through the run's lease.

Not the server that started it. A server may die, be replaced or lose its node while the training
goes on elsewhere, as a pod does; and of two pods for one run, a partitioned node's and the one that
takes its place, only the later one can write. A server takes the lease for a moment only, while
nobody trains, to write into the run's document.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator

from tagloom.artifacts import layout
from tagloom.errors import TagloomError
from tagloom.store.fenced import FencedStore
from tagloom.store.interface import Store
from tagloom.store.lease import Lease, LeaseHeld, LeaseLost, acquire

__all__ = ["lease_key", "owning", "take"]

_LOG = logging.getLogger(__name__)
_PAUSE_S = 0.2


def lease_key(run_id: str) -> str:
    """Whoever holds this lease trains the run."""
    return f"{layout.run_document(run_id).removesuffix('run.json')}lease.json"


def take(
    store: Store,
    run_id: str,
    lease_s: float,
    *,
    go_on: Callable[[LeaseHeld], None],
) -> Lease:
    """The run's lease, as soon as nobody else holds it.

    `go_on` is called about five times a second while somebody does; what it raises ends the wait.
    """
    owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    while True:
        try:
            return acquire(store, lease_key(run_id), owner, lease_s)
        except LeaseHeld as error:
            go_on(error)
        time.sleep(_PAUSE_S)


@contextlib.contextmanager
def owning(
    store: Store, run_id: str, lease_s: float, *, go_on: Callable[[LeaseHeld], None]
) -> Iterator[FencedStore]:
    """The store as the run's owner may write to it; a thread renews the lease meanwhile.

    A lease that could not be renewed in time is ours as long as nobody took it; then every write
    raises LeaseLost.
    """
    lease = take(store, run_id, lease_s, go_on=go_on)
    ended = threading.Event()
    keeper = threading.Thread(target=_keep, args=(lease, ended), name="run-lease", daemon=True)
    keeper.start()
    try:
        yield FencedStore(store, lease.key, lease.fence)
    finally:
        ended.set()
        keeper.join()
        with contextlib.suppress(TagloomError):
            lease.release()


def _keep(lease: Lease, ended: threading.Event) -> None:
    while not ended.wait(lease.ttl_s / 3):
        try:
            lease.renew()
        except LeaseLost as error:
            _LOG.warning("%s", error.message)
            return
        except TagloomError as error:
            _LOG.warning("%s cannot be renewed: %s", lease.key, error.message)
