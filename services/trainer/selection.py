"""Which snapshot of a run is the best, whether a better one is still to come, which ones stay."""

from __future__ import annotations

from collections.abc import Sequence

from services.trainer import records
from tagloom.artifacts import layout
from tagloom.artifacts.run import Snapshot
from tagloom.errors import NotFound
from tagloom.store.interface import Store

__all__ = [
    "best_snapshot",
    "is_exhausted",
    "read_snapshots",
    "remove_superfluous",
    "score_rises",
]


def read_snapshots(store: Store, run_id: str, *, until_kimg: float) -> list[Snapshot]:
    """The run's snapshots up to there, by kimg."""
    found = []
    for snapshot in _ids(store, run_id):
        key = layout.snapshot_manifest(run_id, snapshot)
        found.append(Snapshot.load(store, key, f"runs/{run_id}/snapshots/{snapshot}"))
    return [snapshot for snapshot in found if snapshot.kimg <= until_kimg]


def best_snapshot(snapshots: Sequence[Snapshot]) -> Snapshot | None:
    """The one with the lowest score, the earliest of equals; None if none is scored."""
    scored = [snapshot for snapshot in snapshots if snapshot.score is not None]
    return min(scored, key=_value, default=None)


def is_exhausted(snapshots: Sequence[Snapshot], patience: int, *, since_kimg: float = 0.0) -> bool:
    """Whether `patience` snapshots in a row, the last ones, all failed to become the best.

    since_kimg: those up to there do not count, because the run was asked to go on from there.
    """
    best = best_snapshot(snapshots)
    if not patience or best is None:
        return False
    since = max(best.kimg, since_kimg)
    return sum(s.score is not None and s.kimg > since for s in snapshots) >= patience


def score_rises(snapshots: Sequence[Snapshot]) -> int:
    """How many of the last snapshots, in a row, have a higher (worse) score than the one before."""
    scores = [snapshot.score.value for snapshot in snapshots if snapshot.score is not None]
    rises = 0
    for before, after in zip(reversed(scores[:-1]), reversed(scores), strict=False):
        if after <= before:
            break
        rises += 1
    return rises


def remove_superfluous(store: Store, run_id: str, *, keep: int) -> None:
    """Removes snapshots, but not the start, the best, the newest `keep`, and starts of other runs.

    The manifest goes first, so that what is left of an interrupted removal is no snapshot.
    """
    snapshots = read_snapshots(store, run_id, until_kimg=float("inf"))
    kept = {snapshot.id for snapshot in [*snapshots[:1], *snapshots[-keep:]]}
    best = best_snapshot(snapshots)
    if best is not None:
        kept.add(best.id)
    superfluous = [snapshot.id for snapshot in snapshots if snapshot.id not in kept]
    if not superfluous:
        return
    starts = _starts(store)
    for snapshot in superfluous:
        if f"runs/{run_id}/snapshots/{snapshot}" in starts:
            continue
        store.delete(layout.snapshot_manifest(run_id, snapshot))
        store.delete(layout.snapshot_weights(run_id, snapshot))
        store.delete(layout.snapshot_samples(run_id, snapshot))


def _value(snapshot: Snapshot) -> float:
    return float("inf") if snapshot.score is None else snapshot.score.value


def _ids(store: Store, run_id: str) -> list[str]:
    prefix, suffix = f"runs/{run_id}/snapshots/", "/manifest.json"
    keys = (info.key for info in store.iterate(prefix))
    return sorted(key[len(prefix) : -len(suffix)] for key in keys if key.endswith(suffix))


def _starts(store: Store) -> set[str]:
    """Where the runs of the store start."""
    starts = set()
    for run_id in records.run_ids(store):
        try:
            starts.add(records.read_run(store, run_id).start)
        except NotFound:
            continue  # being removed
    return starts
