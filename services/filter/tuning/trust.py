"""How far a proposal can be trusted: cross-validation and bootstrap intervals.

Thresholds agree better with the marks that chose them than with the next ones. So the whole search
is repeated without a fifth of the marks, which then judge it; every photo is judged by thresholds
that never saw it.

Intervals of shares are Wilson's (1927), which stay honest where few marks were all judged right:
ten of ten do not prove 100 %. F1 is a function of one share, J = both / (both + either wrong):
F1 = 2 J / (1 + J). Folds share most of the marks they learn from, so that what they say varies more
than as many photos would: with k folds variances are multiplied by 1 + k / (k - 1) (Nadeau and
Bengio, "Inference for the generalization error", Machine Learning 52, 2003). Intervals of a
difference, and of thresholds, come from drawing the photos anew (Efron and Tibshirani, "An
introduction to the bootstrap", 1993).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.filter.tuning.thresholds import Goal, Problem, fit, predict

__all__ = ["Estimate", "Trusted", "cross_validated", "estimates", "gain", "spread"]

_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]

_FOLDS = 5
_REPEATS = 4
_DRAWS = 1000
_REFITS = 60
_NORMAL = 1.959964
"""97.5 % of the normal distribution lie below"""
_INTERVAL = (2.5, 97.5)
"""per cent"""
_SPREAD = (5.0, 95.0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Trusted:
    """Agreement with the marks, each with its interval."""

    precision: Estimate
    recall: Estimate
    f1: Estimate


def cross_validated(problem: Problem, goal: Goal, begin: _Floats, seed: int) -> _Bools:
    """[repeats, photos]: decisions on each photo by thresholds that were chosen without it."""
    random = np.random.Generator(np.random.Philox(key=seed))
    keep = problem.keep
    folds = _folds(keep)
    decisions = np.zeros((_REPEATS, len(keep)), np.bool_)
    if folds < 2:  # one photo of a kind cannot be both left out and learnt from
        return decisions[:0]
    for repeat in range(_REPEATS):
        fold = np.empty(len(keep), np.int64)
        for side in (keep, ~keep):
            places = random.permutation(np.flatnonzero(side))
            fold[places] = np.arange(len(places)) % folds
        for number in range(folds):
            out = fold == number
            least = fit(problem, goal, begin, weights=(~out).astype(np.float64))
            decisions[repeat, out] = predict(problem, least)[out]
    return decisions


def _folds(keep: _Bools) -> int:
    return int(min(_FOLDS, keep.sum(), (~keep).sum()))


def _inflation(keep: _Bools) -> float:
    """By how much the variance of cross-validated figures exceeds that of independent ones."""
    folds = _folds(keep)
    return 1 + folds / (folds - 1)


def estimates(decisions: _Bools, keep: _Bools, *, held_back: bool = False) -> Trusted:
    """Agreement of decisions [repeats, photos] with the marks, averaged over the repeats.

    held_back: the decisions are those of `cross_validated`.
    """
    inflation = _inflation(keep) if held_back else 1.0
    stays = decisions.astype(np.float64)
    both = float((stays * keep).sum(axis=1).mean())
    kept, good = float(stays.sum(axis=1).mean()), float(keep.sum())
    share = _wilson(both, kept + good - both, inflation)
    return Trusted(
        precision=_wilson(both, kept, inflation) if kept else Estimate(1.0, 0.0, 1.0),
        recall=_wilson(both, good, inflation),
        f1=Estimate(*(2 * each / (1 + each) for each in (share.value, share.low, share.high))),
    )


def _wilson(hits: float, trials: float, inflation: float) -> Estimate:
    """A share and its 95 % interval; trials > 0, whole or an average of repeats."""
    share, z2 = hits / trials, _NORMAL**2
    trials /= inflation
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    half *= _NORMAL / (1 + z2 / trials)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Estimate(share, min(low, share), max(high, share))  # rounding at 0 and 1


def gain(decisions: _Bools, before: _Bools, keep: _Bools, seed: int) -> Estimate:
    """By how much the F1 of `decisions` [repeats, photos] exceeds that of `before` [photos]."""
    counts = _draws(len(keep), seed)
    difference = _f1(decisions, keep, counts) - _f1(before[None], keep, counts)
    wider = math.sqrt(_inflation(keep))
    value = float(difference[0])
    low, high = (
        value + wider * (float(e) - value) for e in np.percentile(difference[1:], _INTERVAL)
    )
    return Estimate(value, low, high)


def spread(problem: Problem, goal: Goal, begin: _Floats, seed: int) -> tuple[_Floats, _Floats]:
    """Between which least scores [checks] 90 % of the proposals lie when marks are drawn anew."""
    found = []
    for counts in _draws(len(problem.keep), seed, _REFITS)[1:]:
        # A draw without one of the two kinds teaches nothing.
        if counts[problem.keep].sum() and counts[~problem.keep].sum():
            found.append(fit(problem, goal, begin, weights=counts))
    # "nearest": between minus infinity (off) and a number there is nothing to interpolate.
    low, high = np.percentile(np.array(found or [begin]), _SPREAD, axis=0, method="nearest")
    return low, high


def _draws(photos: int, seed: int, draws: int = _DRAWS) -> _Floats:
    """[1 + draws, photos]: how often each photo counts; the first row is the marks themselves."""
    random = np.random.Generator(np.random.Philox(key=seed))
    drawn = random.multinomial(photos, np.full(photos, 1 / photos), size=draws)
    return np.vstack([np.ones((1, photos)), drawn]).astype(np.float64)


def _f1(decisions: _Bools, keep: _Bools, counts: _Floats) -> _Floats:
    """F1 of each draw [1 + draws], averaged over the repeats."""
    stays = decisions.astype(np.float64)
    both = counts @ (stays * keep).T  # [draws, repeats]
    kept, good = counts @ stays.T, (counts @ keep.astype(np.float64))[:, None]
    found: _Floats = (2 * both / np.maximum(kept + good, 1)).mean(axis=1)
    return found
