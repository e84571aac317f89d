"""Looks at the images whose scores are not known yet: one decode each, then every missing check."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from services.filter.checks import CHECKS, FORMAT, SCORING_SIDE, Measured, Score
from services.filter.checks.image_format import undecodable
from services.filter.decode import MAX_BYTES, Photo, Undecodable, decode
from services.filter.processes import Died, spread, worker_store
from services.filter.scores import add_scores, load_scores
from tagloom.artifacts import layout
from tagloom.errors import DataLoss
from tagloom.progress import Report
from tagloom.store.interface import ObjectNotFound, Store

__all__ = ["Scores", "read_image", "score_images"]

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


@dataclass(frozen=True, slots=True)
class _Piece:
    sha256: str
    checks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Scored:
    measured: dict[str, Measured]
    seconds: dict[str, float]


def score_images(
    store: Store, hashes: Sequence[str], checks: Collection[str], report: Report
) -> Scores:
    """Scores of `hashes` by `checks` (and `format`), from the store where known.

    New scores are durable when this returns, and every few seconds on the way. Raises DataLoss
    (IMAGE_MISSING, IMAGE_CHANGED) when the store does not hold what a collection lists.
    """
    names = tuple(name for name in CHECKS if name in checks or name == FORMAT)
    report("score", 0, len(hashes), "looking up known scores")
    measured = load_scores(store, hashes, names)
    pieces = []
    for sha256 in sorted(set(hashes)):
        known = measured.get(sha256, {})
        broken = FORMAT in known and known[FORMAT].score.value < 1
        missing = tuple(name for name in names if name not in known)
        if missing and not broken:
            pieces.append(_Piece(sha256, missing))
    total = len(set(hashes))
    done = total - len(pieces)
    report("score", done, total, f"{len(pieces)} images to look at")
    seconds: Counter[str] = Counter()
    fresh: dict[str, dict[str, Measured]] = {}
    flushed = time.monotonic()
    try:
        with closing(spread(_score, pieces, store.url)) as outcomes:
            for piece, outcome in outcomes:
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


def read_image(store: Store, sha256: str) -> bytes:
    """The bytes of an image of a collection, checked against their hash.

    An object over the limit comes cut short, one byte too long to be taken. Raises DataLoss.
    """
    try:
        data = store.get(layout.image(sha256), length=MAX_BYTES + 1)
    except ObjectNotFound as error:
        raise DataLoss(
            f"The image {sha256} is listed but no longer stored; collect the photos again into a "
            "new collection.",
            reason="IMAGE_MISSING",
            sha256=sha256,
        ) from error
    if len(data) <= MAX_BYTES and hashlib.sha256(data).hexdigest() != sha256:
        raise DataLoss(
            f"The stored bytes of image {sha256} have changed; restore the store, or collect the "
            "photos again.",
            reason="IMAGE_CHANGED",
            sha256=sha256,
        )
    return data


def _score(piece: _Piece) -> _Scored:
    """In a worker process: everything there is to know of one image."""
    started = time.process_time()
    seconds: dict[str, float] = {}
    data = read_image(worker_store(), piece.sha256)
    try:
        photo = decode(data, at_least=SCORING_SIDE)
    except Undecodable as error:
        return _Scored({FORMAT: Measured(error.width, error.height, undecodable(error))}, seconds)
    seconds["decode"] = time.process_time() - started
    return _Scored(_measure(photo, piece.checks, seconds), seconds)


def _measure(photo: Photo, checks: Sequence[str], seconds: dict[str, float]) -> dict[str, Measured]:
    measured = {}
    for name in checks:
        started = time.process_time()
        measured[name] = Measured(photo.width, photo.height, CHECKS[name].score(photo))
        seconds[name] = time.process_time() - started
    return measured
