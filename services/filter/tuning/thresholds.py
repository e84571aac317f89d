"""Thresholds that agree best with marks: a search over the scores of the marked photos.

A photo stays when it passes every check. Scores are turned so that more is better; a threshold is
then a least score, and minus infinity switches a check off. Only thresholds half way between two
neighbouring scores matter, so each check is searched exactly while the others hold still
(coordinate ascent), from several beginnings. Of thresholds that do equally well the one nearest to
the beginning is taken: where marks say nothing, nothing moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Goal", "Problem", "Quality", "fit", "predict", "quality", "sweep"]

_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]

_ROUNDS = 20
"""sweeps over all checks; it rarely takes more than four"""
_GAIN = 1e-9
"""below, two thresholds are equally good"""


@dataclass(frozen=True, slots=True)
class Goal:
    """What to reach."""

    precision: float | None = None
    """None: the highest F1; else the highest recall at this precision or more"""

    def value(self, kept_good: _Floats, kept_bad: _Floats, good: float) -> _Floats:
        """How well so many kept photos serve, more is better, of `good` that should stay."""
        kept = kept_good + kept_bad
        if self.precision is None:
            return 2 * kept_good / np.maximum(kept + good, 1e-12)
        precision = np.where(kept > 0, kept_good / np.maximum(kept, 1e-12), 0.0)
        recall = kept_good / max(good, 1e-12)
        return np.where((precision >= self.precision - 1e-12) & (kept > 0), 1 + recall, precision)


@dataclass(frozen=True, slots=True)
class Problem:
    """The scores of marked photos."""

    scores: _Floats
    """[photos, checks], more is better; infinity where a check did not run"""
    possible: _Bools
    """[photos]: False for a damaged file, which goes whatever the thresholds"""
    keep: _Bools
    """[photos]: what the person says"""
    order: npt.NDArray[np.int64]
    """[photos, checks]: the best photo of each check first"""

    @classmethod
    def of(cls, scores: _Floats, possible: _Bools, keep: _Bools) -> Problem:
        """With the order that searches need."""
        return cls(scores, possible, keep, np.argsort(-scores, axis=0, kind="stable"))


@dataclass(frozen=True, slots=True)
class Quality:
    """How decisions agree with marks. A positive is a photo that stays."""

    precision: float
    """of the photos that stay, the share that should; 1 when none stays"""
    recall: float
    """of the photos that should stay, the share that does"""

    @property
    def f1(self) -> float:
        """Their harmonic mean."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def predict(problem: Problem, least: _Floats) -> _Bools:
    """Which photos stay at these least scores [checks]."""
    stays: _Bools = problem.possible & np.all(problem.scores >= least, axis=1)
    return stays


def quality(stays: _Bools, keep: _Bools, weights: _Floats | None = None) -> Quality:
    """Precision and recall of decisions."""
    weights = np.ones(len(keep)) if weights is None else weights
    both = float(weights[stays & keep].sum())
    kept, good = float(weights[stays].sum()), float(weights[keep].sum())
    return Quality(both / kept if kept else 1.0, both / good if good else 0.0)


def fit(
    problem: Problem,
    goal: Goal,
    begin: _Floats,
    others: Sequence[_Floats] = (),
    weights: _Floats | None = None,
) -> _Floats:
    """The least scores [checks] that serve the goal best.

    begin: where to move from as little as need be; others: further places to search from.
    weights: how often each photo counts, for resampling.
    """
    weights = np.ones(len(problem.keep)) if weights is None else weights
    best, best_value = begin, -1.0
    for start in (begin, *others):
        found, value = _climb(problem, goal, start, begin, weights)
        if value > best_value + _GAIN:
            best, best_value = found, value
    return best


def _climb(
    problem: Problem, goal: Goal, start: _Floats, begin: _Floats, weights: _Floats
) -> tuple[_Floats, float]:
    least = start.copy()
    value = -1.0
    for _ in range(_ROUNDS):
        before = value
        for check in range(problem.scores.shape[1]):
            least[check], value = _best_of(problem, goal, least, begin, check, weights)
        if value <= before + _GAIN:
            break
    return least, value


def _best_of(
    problem: Problem, goal: Goal, least: _Floats, begin: _Floats, check: int, weights: _Floats
) -> tuple[float, float]:
    """The best least score of one check while the others hold still."""
    passes = problem.scores >= least
    passes[:, check] = True
    decided = problem.possible & passes.all(axis=1)
    cuts, good, bad = sweep(problem, check, weights * decided)
    good_at_all = float(weights[problem.keep].sum())
    values = goal.value(good, bad, good_at_all)
    top = np.flatnonzero(values >= values.max() - _GAIN)
    first = float(begin[check])
    (there,) = goal.value(*_at(problem, check, weights * decided, first), good_at_all)
    if there >= values.max() - _GAIN:
        return first, float(there)
    # Cuts fall; the beginning lies between two of them, and the nearest in rank is taken.
    nearest = top[np.argmin(np.abs(top - int(np.searchsorted(-cuts, -first))))]
    return float(cuts[nearest]), float(values[nearest])


def _at(problem: Problem, check: int, weights: _Floats, least: float) -> tuple[_Floats, _Floats]:
    stays = weights * (problem.scores[:, check] >= least)
    good = float(stays[problem.keep].sum())
    return np.array([good]), np.array([float(stays.sum()) - good])


def sweep(problem: Problem, check: int, weights: _Floats) -> tuple[_Floats, _Floats, _Floats]:
    """Every least score of one check that makes a difference, falling to minus infinity (off), and
    the weight of the photos with a score of at least that which should stay, and should not."""
    order = problem.order[:, check]
    order = order[weights[order] > 0]
    scores = problem.scores[order, check]
    good = np.cumsum(weights[order] * problem.keep[order])
    bad = np.cumsum(weights[order] * ~problem.keep[order])
    ends = np.flatnonzero(
        scores[1:] != scores[:-1]
    )  # not their difference: infinities differ by NaN
    with np.errstate(invalid="ignore"):
        between = (scores[ends] + scores[ends + 1]) / 2
    # Above a score that is infinite (the check did not run) there is nothing to cut; and the middle
    # of two neighbouring numbers is rounded to one of them, which may be the lower.
    above = np.nextafter(scores[ends + 1], np.inf)
    between = np.where(np.isfinite(between), np.maximum(between, above), above)
    cuts = np.append(between, -np.inf)
    at = np.append(ends, len(scores) - 1)
    if not len(scores):
        return cuts, np.zeros(1), np.zeros(1)
    return cuts, good[at], bad[at]
