"""What the ranks above 0 do: the same steps, writing nothing; and how all of them stop together."""

from __future__ import annotations

import enum
from collections.abc import Callable

from services.trainer.opening import open_session
from services.trainer.ranks import Ranks
from services.trainer.session import Session
from tagloom.artifacts.run import Run
from tagloom.errors import Cancelled
from tagloom.store.interface import Store

__all__ = ["Interrupted", "Wish", "agree", "attend", "interrupted"]


class Interrupted(Cancelled):
    """The process is going away (SIGTERM): the run is saved and waits for the next one."""


class Wish(enum.IntEnum):
    """What a rank wants before the next step; the largest one counts for all."""

    GO_ON = 0
    STOP = 1
    """somebody asked for it through the store"""
    INTERRUPT = 2
    """one of the processes was told to go away"""


def agree(ranks: Ranks, wish: Wish) -> Wish:
    """What all ranks do next; all must ask. Raises PeerLost."""
    return Wish(ranks.largest(wish))


def interrupted(session: Session) -> Interrupted:
    """The error that says where the run was interrupted."""
    return Interrupted(
        f"Interrupted at {session.kimg:g} kimg; continues from there.",
        reason="TRAINING_INTERRUPTED",
    )


def attend(store: Store, run: Run, ranks: Ranks, stop: Callable[[], bool]) -> None:
    """Trains with rank 0, which decides and writes, until the run ends.

    Raises Interrupted if `stop` returned true on any rank, PeerLost, and any TagloomError that
    made the run fail.
    """
    session, _ = open_session(store, run, ranks)
    while not session.done:
        wish = agree(ranks, Wish.INTERRUPT if stop() else Wish.GO_ON)
        if wish is Wish.INTERRUPT:
            raise interrupted(session)
        if wish is Wish.STOP:
            return
        session.advance()
