"""What tuning proposes: the profile, how far it can be trusted, and what it would change."""

from __future__ import annotations

from dataclasses import dataclass

from services.filter.tuning.trust import Estimate, Trusted
from tagloom.artifacts.dataset import Threshold

__all__ = ["Change", "Point", "Proposal", "TunedCheck", "advice"]

_FEW = 20
"""marks of a kind; with fewer, intervals are wider than the differences that matter"""


@dataclass(frozen=True, slots=True)
class Point:
    """One place of a trade-off."""

    threshold: float
    """of one check, in its unit; 0 for the trade-off of all together"""
    precision: float
    recall: float


@dataclass(frozen=True, slots=True)
class Change:
    """A photo of the collection that would change sides."""

    sha256: str
    source: str
    kept: bool
    """whether it stays by the proposal"""
    checks: tuple[str, ...]
    """those that decide: failed by the proposal, or no longer failed"""
    mark: str
    """keep, reject, or empty where nobody marked it"""


@dataclass(frozen=True, slots=True)
class TunedCheck:
    """One check: what marks say of it alone, and where its threshold goes."""

    before: Threshold
    after: Threshold
    """together with the other checks"""
    alone: Threshold
    """if no other check were asked"""
    low: float
    high: float
    """90 % of the proposals of marks drawn anew lie between these; where one is infinite, the check
    is off at that end"""
    separation: float
    """chance that a photo to keep scores better than one to reject; 0.5 tells nothing, or nothing
    was rejected for its sake"""
    precision: float
    """of `alone`, on the marks it was chosen by"""
    recall: float
    marked: int
    """marks that say something about this check"""
    curve: tuple[Point, ...]
    """empty where nothing was rejected for its sake"""
    changes: tuple[Change, ...]
    """photos on the other side of its threshold, the first few"""
    change_count: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """A profile from a person's marks."""

    thresholds: tuple[Threshold, ...]
    checks: tuple[TunedCheck, ...]
    keep: int
    reject: int
    unknown: tuple[str, ...]
    """marked, but not in the collection"""
    before: Trusted
    """the profile that tuning began with, on the marks"""
    fitted: Trusted
    """the proposal, on the very marks that chose it: too good"""
    expected: Trusted | None
    """cross-validated: what to expect of photos like the marked ones; None with too few marks"""
    gain: Estimate | None
    """expected F1 less that of `before`"""
    frontier: tuple[Point, ...]
    """precision and recall within reach of all checks together, on the marks"""
    kept_before: int
    kept_after: int
    """photos of the whole collection"""
    changes: tuple[Change, ...]
    change_count: int


def advice(proposal: Proposal, target: float | None) -> list[str]:
    """What a person should know before using the proposal: sentences."""
    said = []
    for kind, count in (("keep", proposal.keep), ("reject", proposal.reject)):
        if count < _FEW:
            said.append(
                f"Only {count} photo{'s are' if count != 1 else ' is'} marked {kind}; mark at "
                f"least {_FEW}, or the intervals stay wide."
            )
    if proposal.expected is None:
        said.append(
            "With a single mark of a kind nothing can be held back to test the proposal: its "
            "figures are those of the marks that chose it."
        )
    elif proposal.gain is not None and proposal.gain.low <= 0:
        said.append(
            "These marks do not show that the proposal is better than the profile it began with "
            f"(F1 {proposal.gain.value:+.3f}, 95 % interval {proposal.gain.low:+.3f} to "
            f"{proposal.gain.high:+.3f}); mark more, borderline photos first."
        )
    if target is not None:
        reached = proposal.fitted.precision.value
        if reached < target - 1e-9:
            said.append(
                f"No thresholds reach a precision of {target:.0%} on these marks; the best is "
                f"{reached:.1%}. Another check would have to see what these do not."
            )
        elif proposal.expected is not None and proposal.expected.precision.low < target:
            said.append(
                f"On other photos the precision may fall below {target:.0%}: cross-validation "
                f"gives {proposal.expected.precision.value:.1%}, 95 % interval "
                f"{proposal.expected.precision.low:.1%} to {proposal.expected.precision.high:.1%}. "
                "Ask for more than you need."
            )
    if proposal.unknown:
        others = len(proposal.unknown) - 1
        more = f" and {others} more" if others else ""
        said.append(
            f"{proposal.unknown[0][:120]}{more} {'are' if others else 'is'} not in the collection "
            "and did not count."
        )
    return said
