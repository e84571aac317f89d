"""A run's snapshots while it trains: taken, scored, judged, and no more of them than are wanted."""

from __future__ import annotations

from datetime import datetime

from services.trainer.score import Scorer
from services.trainer.selection import (
    best_snapshot,
    is_exhausted,
    read_snapshots,
    remove_superfluous,
    score_rises,
)
from services.trainer.session import Session
from services.trainer.snapshot import write_snapshot
from tagloom.artifacts.base import now
from tagloom.store.interface import Store

__all__ = ["SnapshotKeeper"]


class SnapshotKeeper:
    """Takes the snapshots of a session, and knows which of the run's is the best."""

    def __init__(self, store: Store, session: Session, scorer: Scorer | None) -> None:
        """scorer: None where snapshots are not to be scored."""
        self._store, self._session, self._scorer = store, session, scorer
        self.best = ""
        """`runs/{id}/snapshots/{kimg}`; empty where none is scored"""
        self.score: float | None = None
        """of the last one"""
        self.time: datetime | None = None
        """of the last one that was taken here"""
        self.rises = 0
        """how many of the last snapshots, in a row, have a worse score than the one before"""
        self.exhausted = False
        """whether the run's patience is at its end"""
        self._judge()

    def take(self) -> str:
        """A snapshot of the run as it is now; returns a sentence about it."""
        snapshot = write_snapshot(self._store, self._session, self._scorer)
        self.time = now()
        return self._judge() or f"Snapshot at {float(snapshot):g} kimg."

    def _judge(self) -> str:
        if self._scorer is None:
            return ""
        run, options = self._session.run, self._session.run.options
        snapshots = read_snapshots(self._store, run.id, until_kimg=self._session.kimg)
        best = best_snapshot(snapshots)
        if best is None or best.score is None:
            return ""
        self.best = f"runs/{run.id}/snapshots/{best.id}"
        self.exhausted = is_exhausted(
            snapshots, options.patience, since_kimg=run.patience_from_kimg
        )
        if options.keep_snapshots:
            remove_superfluous(self._store, run.id, keep=options.keep_snapshots)
        last = snapshots[-1]
        if last.score is None:
            return ""
        if self.score is None:
            self.rises = score_rises(snapshots)
        elif last.score.value != self.score:  # not from the list: superfluous ones are removed
            self.rises = self.rises + 1 if last.score.value > self.score else 0
        self.score = last.score.value
        return (
            f"Snapshot at {last.kimg:g} kimg: {last.score.metric} {last.score.value:.4g}, best so "
            f"far {best.score.value:.4g} at {best.kimg:g} kimg."
        )
