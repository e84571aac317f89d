"""What a check is: a name, a version, a score with a unit, and the good side of its threshold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.filter.decode import Photo
from tagloom.artifacts.dataset import Box

__all__ = ["Check", "Measured", "Score"]


@dataclass(frozen=True, slots=True)
class Score:
    """What a check measured on one photo."""

    value: float
    """in the check's unit"""
    boxes: tuple[Box, ...] = ()
    """in pixels of the whole upright photo"""
    detail: str = ""
    """one sentence for people, where the number alone does not say it"""


@dataclass(frozen=True, slots=True)
class Measured:
    """A score, and the size of the photo that it belongs to: what is stored."""

    width: int
    """of the upright photo, px; 0 when the file did not tell"""
    height: int
    score: Score


def _as_stored(value: float, resolution: int) -> float:
    return value


@dataclass(frozen=True, slots=True)
class Check:
    """One question asked of every photo. Its score depends on the photo alone."""

    name: str
    version: str
    """part of the key under which scores are stored: raise it when any score may change"""
    unit: str
    """of the judged value and its threshold"""
    minimum: bool
    """True: the judged value must be at least the threshold; False: at most"""
    threshold: float
    """default"""
    low: float
    """least sensible threshold"""
    high: float
    """greatest sensible threshold"""
    score: Callable[[Photo], Score]
    explain: Callable[[float, float], str]
    """(judged value, threshold) to a sentence on why the photo failed"""
    judged: Callable[[float, int], float] = _as_stored
    """(stored score, resolution judged for, px) to the value that is compared"""

    def passes(self, value: float, threshold: float) -> bool:
        """Whether a judged value is on the good side of `threshold`, or on it."""
        return value >= threshold if self.minimum else value <= threshold
