"""Looks at the images whose scores are not known yet: one decode each, then every missing check."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from services.filter.checks import CHECKS, FORMAT, Measured, Score
from services.filter.measuring import ToMeasure, measure
from services.filter.processes import Died, Processes
from services.filter.scores import add_scores, load_scores
from tagloom.progress import Report
from tagloom.store.interface import Store

__all__ = ["Scores", "score_images"]

_FLUSH_S = 15.0
"""a kill costs at most the scores of so many seconds"""
_FLUSH_IMAGES = 512


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of images, and what it took to get them."""

    measured: dict[str, dict[str, Measured]]
    """hash to check to score; an undecodable image has that of `format` alone"""
    scanned: int = 0
    """images decoded now; the others were known"""
    seconds: Counter[str] = field(default_factory=Counter)
    """processor time by check, and of `decode`"""


def score_images(
    store: Store,
    processes: Processes,
    hashes: Sequence[str],
    checks: Collection[str],
    report: Report,
) -> Scores:
    """Scores of `hashes` by `checks` (and `format`), from the store where known.

    New scores are durable when this returns, and every few seconds on the way. Raises DataLoss
    (IMAGE_MISSING, IMAGE_CHANGED) when the store does not hold what a collection lists.
    """
    wanted = {CHECKS[name].source for name in checks} | {FORMAT}
    names = tuple(name for name in CHECKS if name in wanted)
    report("score", 0, len(hashes), "looking up known scores")
    measured = load_scores(store, hashes, names)
    pieces = []
    for sha256 in sorted(set(hashes)):
        known = measured.get(sha256, {})
        broken = FORMAT in known and known[FORMAT].score.value < 1
        missing = tuple(name for name in names if name not in known)
        if missing and not broken:
            pieces.append(ToMeasure(sha256, missing))
    total = len(set(hashes))
    done = total - len(pieces)
    report("score", done, total, f"{len(pieces)} images to look at")
    seconds: Counter[str] = Counter()
    fresh: dict[str, dict[str, Measured]] = {}
    flushed = time.monotonic()
    try:
        for piece, outcome in processes.spread(measure, pieces):
            if isinstance(outcome, Died):
                # Not made durable: memory may have been short for another reason.
                found = {FORMAT: Measured(0, 0, _KILLS_DECODER)}
            else:
                found = fresh[piece.sha256] = outcome.measured
                seconds.update(outcome.seconds)
            measured[piece.sha256] = {**measured.get(piece.sha256, {}), **found}
            done += 1
            if len(fresh) >= _FLUSH_IMAGES or time.monotonic() - flushed > _FLUSH_S:
                add_scores(store, fresh)
                fresh, flushed = {}, time.monotonic()
            report("score", done, total)
    finally:
        add_scores(store, fresh)
    return Scores(measured, len(pieces), seconds)


_KILLS_DECODER = Score(
    0.0, detail="Decoding this file ended the process that tried; it is skipped."
)
