"""How far a score lies from its threshold, on one scale for all checks.

Checks have units of their own, so that distances compare badly. Here a score is measured in
doublings: a margin of 1 is three doublings (one for sizes, which are measured exactly) on the good
side of the threshold, -1 as far on the bad side, 0 on it. A person who looks for mistakes begins
with the photos nearest to 0.
"""

from __future__ import annotations

import math

from tagloom.artifacts.dataset import CheckResult, Verdict

__all__ = ["closeness", "margin"]

_YES_OR_NO = frozenset({"valid", "boolean"})
"""units of demands that are met or not, never nearly"""
_DOUBLINGS = {"resolution": 1.0, "aspect": 1.0}
_OTHERS = 3.0
_COPIES = "duplicates"


def margin(result: CheckResult) -> float:
    """-1 (far on the bad side) to 1 (far on the good side)."""
    if result.unit in _YES_OR_NO:
        return 1.0 if result.passed else -1.0
    if result.check == _COPIES and result.passed and not result.related:
        return 1.0  # its score says that there is no copy within reach, not how far the nearest is
    score, threshold = result.score, result.threshold
    doublings = _DOUBLINGS.get(result.check, _OTHERS)
    if threshold > 0 and score >= 0:
        floor = threshold / (2**doublings)  # nothing is as far as that many halvings
        away = math.log2((score + floor) / (threshold + floor)) / doublings
    else:  # scores around zero, such as a detector's confidence
        away = score - threshold
    away = max(-1.0, min(1.0, away if result.minimum else -away))
    # Rounding must not put a score on the other side of its threshold.
    return max(0.0, away) if result.passed else min(0.0, away)


def closeness(verdict: Verdict) -> float:
    """0: one more step and it would have gone, or stayed; 1: nothing near that.

    A photo that stays is as close as its worst check; one that goes, as the check it fails most.
    """
    if verdict.kept:
        return min((margin(result) for result in verdict.results), default=1.0)
    failed = (-margin(result) for result in verdict.results if not result.passed)
    return max(failed, default=1.0)
