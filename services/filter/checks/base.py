"""What a check is: a name, a version, a score with a unit, and the good side of its threshold.

Most checks look at one photo. Two compare: they keep a description of the photo (`Score.vector`),
which like any score depends on the photo alone and is stored, and `relate` turns the descriptions
of a whole collection into the values that are judged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from services.filter.decode import Photo
from services.filter.weights import Weights
from tagloom.artifacts.dataset import Box

__all__ = ["Check", "Member", "Measured", "Related", "Score", "apart"]

_MOST_DIGITS = 9


class Score(NamedTuple):
    """What a check measured on one photo."""

    value: float
    """in the check's unit"""
    boxes: tuple[Box, ...] = ()
    """in pixels of the whole upright photo"""
    detail: str = ""
    """one sentence for people, where the number alone does not say it"""
    vector: bytes = b""
    """a description of the photo, for checks that compare photos"""


class Measured(NamedTuple):
    """A score, and the size of the photo that it belongs to: what is stored."""

    width: int
    """of the upright photo, px; 0 when the file did not tell"""
    height: int
    score: Score


class Member(NamedTuple):
    """One photo of a collection, as a check that compares sees it."""

    sha256: str
    measured: Measured
    passes: bool
    """whether it passed the checks that look at one photo"""


class Related(NamedTuple):
    """What a check that compares says of one photo."""

    value: float
    """in the check's unit"""
    other: str = ""
    """SHA-256 of the photo it was compared with, where one is to blame"""
    detail: str = ""
    """one sentence, where the value alone does not say it"""


def apart(value: float, threshold: float, digits: int, kind: str = "f") -> tuple[str, str]:
    """Both as text with so many decimals, or as many more as it takes to tell them from each other.

    kind: `f`, or `%` for shares. So no photo goes since "text covers 1.0 %, above 1.0 %".
    """
    while True:
        texts = f"{value:.{digits}{kind}}", f"{threshold:.{digits}{kind}}"
        if texts[0] != texts[1] or value == threshold or digits >= _MOST_DIGITS:
            return texts
        digits += 1


def _as_stored(score: Score, resolution: int) -> float:
    return score.value


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
    judged: Callable[[Score, int], float] = _as_stored
    """(stored score, resolution judged for, px) to the value that is compared"""
    relate: Callable[[Sequence[Member]], list[Related]] | None = None
    """for checks that compare: the judged values of a collection, in its order"""
    measured_by: str = ""
    """the check whose stored score it judges in another way; empty: its own"""
    weights: Weights | None = None
    """the file it needs, where no package brings it"""
    side: int = 0
    """px of the shorter side that it wants to see at most; decoders may stop there"""
    long_side: int = 0
    """the same of the longer side"""

    @property
    def source(self) -> str:
        """The check whose scores are stored."""
        return self.measured_by or self.name

    @property
    def stored_version(self) -> str:
        """`version`, and which weights where the user brings them.

        Raises FailedPrecondition (WEIGHTS_NOT_GIVEN) where they are wanted and not given.
        """
        return self.version if self.weights is None else f"{self.version}-{self.weights.digest()}"

    def passes(self, value: float, threshold: float) -> bool:
        """Whether a judged value is on the good side of `threshold`, or on it."""
        return value >= threshold if self.minimum else value <= threshold
