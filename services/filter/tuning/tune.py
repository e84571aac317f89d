"""Marks of a collection's photos to a proposed profile.

All photos of the collection are scored (once and for all, as for a dataset), so that the photos
that would change sides are named, marked or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.filter.checks import CHECKS, FORMAT
from services.filter.judge import judge_collection
from services.filter.photos import load_collection, load_items, sources_of
from services.filter.processes import Processes
from services.filter.profile import DEFAULT, profile
from services.filter.scoring import score_images
from services.filter.tuning.marks import Mark, Matched, match_marks
from services.filter.tuning.proposal import Change, Point, Proposal, TunedCheck
from services.filter.tuning.thresholds import Goal, Problem, fit, predict, quality, sweep
from services.filter.tuning.trust import cross_validated, estimates, gain, spread
from tagloom.artifacts import layout
from tagloom.artifacts.dataset import Threshold, Verdict
from tagloom.errors import FailedPrecondition, InvalidArgument
from tagloom.progress import Report
from tagloom.store.interface import Store

__all__ = ["TuneRequest", "tune"]

_Floats = npt.NDArray[np.float64]

_RESOLUTION = "resolution"
_CURVE = 60
"""points of a check's trade-off, at most"""
_TARGETS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99, 1.0)
"""precisions at which the trade-off of all checks together is computed"""
_CHANGES = 200
_CHANGES_OF_CHECK = 12
_MAX_DECIMALS = 15


@dataclass(frozen=True, slots=True)
class TuneRequest:
    """What to tune, by which marks, for what."""

    collection: str
    """id"""
    marks: tuple[Mark, ...]
    resolution: int = 0
    """px judged for; 0: the check of the resolution is left as it is"""
    profile: str = DEFAULT
    thresholds: tuple[Threshold, ...] = ()
    """where to begin: a profile, and where that differs from it"""
    precision: float = 0.0
    """to hold; 0: maximise F1"""
    seed: int = 0
    """of the folds and draws"""

    def checked(self) -> TuneRequest:
        """With defaults in place. Raises InvalidArgument naming the field."""
        layout.check_id(self.collection, "collection")
        if not 0 <= self.precision <= 1:  # refuses NaN as well
            raise InvalidArgument(
                f"A precision of {self.precision:g} cannot be held; choose more than 0 and at most "
                "1, or leave it out for the best F1.",
                reason="PRECISION_OUT_OF_RANGE",
                field="precision",
            )
        if self.resolution and not 4 <= self.resolution <= 4096:
            raise InvalidArgument(
                f"A resolution of {self.resolution} px cannot be judged for; choose 4 to 4096 px.",
                reason="RESOLUTION_OUT_OF_RANGE",
                field="resolution",
            )
        if self.seed < 0:
            raise InvalidArgument(
                f"A seed of {self.seed} cannot be drawn from; choose 0 or more.",
                reason="SEED_OUT_OF_RANGE",
                field="seed",
            )
        thresholds = profile(self.thresholds, self.profile)
        return TuneRequest(
            self.collection,
            self.marks,
            self.resolution,
            self.profile or DEFAULT,
            thresholds,
            self.precision,
            self.seed,
        )


@dataclass(frozen=True, slots=True)
class _Judged:
    """Verdicts of the whole collection by one profile, by SHA-256."""

    thresholds: tuple[Threshold, ...]
    verdicts: Mapping[str, Verdict]

    def values(self, sha256: str) -> dict[str, float]:
        return {result.check: result.score for result in self.verdicts[sha256].results}


def tune(store: Store, request: TuneRequest, report: Report) -> Proposal:
    """Proposes thresholds. Raises InvalidArgument, FailedPrecondition, NotFound, DataLoss and
    Cancelled from `report`; see `match_marks` for what is wrong with marks."""
    request = request.checked()
    collection = load_collection(store, request.collection)
    name = f"collections/{collection.id}"
    sources = sources_of(load_items(store, collection))
    matched = match_marks(request.marks, sources, name)
    begin = tuple(
        threshold
        if threshold.check != _RESOLUTION or request.resolution
        else threshold.model_copy(update={"enabled": False})
        for threshold in request.thresholds
    )
    enabled = [threshold.check for threshold in begin if threshold.enabled]
    tuned = [check for check in enabled if check != FORMAT]
    if not tuned:
        raise FailedPrecondition(
            "The profile to begin with has no check on that could be tuned; begin with another.",
            reason="NO_CHECKS",
            profile=request.profile,
        )
    with Processes(store.url, len(sources)) as processes:
        measured = score_images(store, processes, list(sources), enabled, report).measured

    def judged(thresholds: tuple[Threshold, ...]) -> _Judged:
        verdicts = judge_collection(sources, measured, thresholds, request.resolution or 1)
        return _Judged(thresholds, {verdict.sha256: verdict for verdict in verdicts})

    before = judged(begin)
    problem = _problem(matched, before, tuned)
    start = np.array([_least(before.thresholds, check) for check in tuned])
    goal = Goal(request.precision or None)
    report("search", 0, 4)
    off = np.full(len(tuned), -np.inf)
    least = fit(problem, goal, start, [off, *_alone(problem, goal, start)])
    report("search", 1, 4, "testing on marks held back")
    decisions = cross_validated(problem, goal, start, request.seed)
    report("search", 2, 4, "drawing marks anew")
    low, high = spread(problem, goal, start, request.seed)
    report("search", 3, 4)
    rounded = [
        float(first) if last == first else _rounded(last, column)
        for first, last, column in zip(start, least, problem.scores.T, strict=True)
    ]
    after = judged(_with(begin, tuned, rounded))
    checks = tuple(
        _tuned_check(index, check, matched, problem, goal, before, after, (low[index], high[index]))
        for index, check in enumerate(tuned)
    )
    stays = predict(problem, np.array(rounded))
    was = predict(problem, start)
    changes = _changes(before, after, matched)
    report("search", 4, 4)
    # The check of the resolution was left alone, not switched off, where no resolution was given.
    final = tuple(
        first if first.check not in tuned else last
        for first, last in zip(request.thresholds, after.thresholds, strict=True)
    )
    return Proposal(
        thresholds=final,
        checks=checks,
        keep=int(problem.keep.sum()),
        reject=int((~problem.keep).sum()),
        unknown=matched.unknown,
        before=estimates(was[None], problem.keep),
        fitted=estimates(stays[None], problem.keep),
        expected=estimates(decisions, problem.keep, held_back=True) if len(decisions) else None,
        gain=gain(decisions, was, problem.keep, request.seed) if len(decisions) else None,
        frontier=_frontier(problem, start, least),
        kept_before=sum(verdict.kept for verdict in before.verdicts.values()),
        kept_after=sum(verdict.kept for verdict in after.verdicts.values()),
        changes=tuple(changes[:_CHANGES]),
        change_count=len(changes),
    )


def _problem(matched: Matched, judged: _Judged, tuned: Sequence[str]) -> Problem:
    scores = np.full((len(matched.marks), len(tuned)), np.inf)
    possible = np.ones(len(matched.marks), np.bool_)
    for row, sha256 in enumerate(matched.marks):
        values = judged.values(sha256)
        possible[row] = FORMAT not in judged.verdicts[sha256].failed_checks
        for column, check in enumerate(tuned):
            if check in values:
                scores[row, column] = _turned(check, values[check])
    keep = np.array([mark.keep for mark in matched.marks.values()])
    return Problem.of(scores, possible, keep)


def _turned(check: str, value: float) -> float:
    """A score or threshold turned so that more is better; the same again turns it back."""
    return value if CHECKS[check].minimum else -value


def _least(thresholds: Sequence[Threshold], check: str) -> float:
    return next(_turned(check, each.value) for each in thresholds if each.check == check)


def _alone(problem: Problem, goal: Goal, start: _Floats) -> list[_Floats]:
    """Each check at its best while the others are off: places to search from."""
    places = []
    for index in range(len(start)):
        (best,) = fit(_only(problem, index), goal, start[[index]])
        place = np.full(len(start), -np.inf)
        place[index] = best
        places.append(place)
    return places


def _only(problem: Problem, index: int, rows: npt.NDArray[np.bool_] | None = None) -> Problem:
    """One check alone, on some of the photos."""
    some = np.ones(len(problem.keep), np.bool_) if rows is None else rows
    return Problem.of(problem.scores[some][:, [index]], problem.possible[some], problem.keep[some])


def _rounded(least: float, scores: _Floats) -> float:
    """The shortest decimal that decides on these scores as `least` does, well between two."""
    if not np.isfinite(least):
        return least
    below = scores[scores < least].max(initial=-np.inf)
    above = scores[scores >= least].min(initial=np.inf)
    room = min(least - below, above - least) / 2
    for decimals in range(_MAX_DECIMALS):
        short = round(float(least), decimals)
        if below < short <= above and abs(short - least) <= room:
            return short
    return float(least)


def _with(
    begin: Sequence[Threshold], tuned: Sequence[str], least: Sequence[float]
) -> tuple[Threshold, ...]:
    found = dict(zip(tuned, least, strict=True))
    return tuple(
        _threshold(each.check, found[each.check], each.value) if each.check in found else each
        for each in begin
    )


def _threshold(check: str, least: float, otherwise: float) -> Threshold:
    """A least score as a threshold; minus infinity switches the check off."""
    if not np.isfinite(least):
        return Threshold(check=check, enabled=False, value=otherwise)
    limits = CHECKS[check]
    value = min(max(_turned(check, least), limits.low), limits.high)
    return Threshold(check=check, value=value + 0.0)  # never -0


def _tuned_check(
    index: int,
    check: str,
    matched: Matched,
    problem: Problem,
    goal: Goal,
    before: _Judged,
    after: _Judged,
    interval: tuple[float, float],
) -> TunedCheck:
    marks = matched.marks.values()
    rows = np.array([mark.keep or mark.reason in ("", check) for mark in marks])
    first = next(each for each in before.thresholds if each.check == check)
    last = next(each for each in after.thresholds if each.check == check)
    only = _only(problem, index, rows)
    there = _turned(check, first.value)
    (best,) = fit(only, goal, np.array([there]))
    best = there if best == there else _rounded(best, only.scores[:, 0])
    agreement = quality(predict(only, np.array([best])), only.keep)
    changes = [
        change
        for sha256 in before.verdicts
        if (change := _side(check, sha256, before, after, matched, last)) is not None
    ]
    ends = sorted(_turned(check, end) for end in interval)
    return TunedCheck(
        before=first,
        after=last,
        alone=_threshold(check, best, first.value),
        low=ends[0],
        high=ends[1],
        separation=_separation(only),
        precision=agreement.precision,
        recall=agreement.recall,
        marked=int(rows.sum()),
        curve=_curve(check, only),
        changes=tuple(changes[:_CHANGES_OF_CHECK]),
        change_count=len(changes),
    )


def _separation(only: Problem) -> float:
    """Area under the ROC curve: ties count half."""
    column = only.scores[:, 0]
    good, bad = column[only.keep], np.sort(column[~only.keep])
    if not len(good) or not len(bad):
        return 0.5
    below = np.searchsorted(bad, good, "left")
    same = np.searchsorted(bad, good, "right") - below
    return float((below + same / 2).mean() / len(bad))


def _curve(check: str, only: Problem) -> tuple[Point, ...]:
    if only.keep.all():
        return ()  # no photo was rejected for its sake: there is nothing to trade
    cuts, good, bad = sweep(only, 0, only.possible.astype(np.float64))
    total = max(1, int(only.keep.sum()))
    finite = np.flatnonzero(np.isfinite(cuts))
    if len(finite) > _CURVE:
        finite = finite[np.linspace(0, len(finite) - 1, _CURVE).round().astype(int)]
    return tuple(
        Point(
            _turned(check, float(cuts[at])),
            float(good[at] / max(good[at] + bad[at], 1e-12)),
            float(good[at] / total),
        )
        for at in finite
    )


def _frontier(problem: Problem, start: _Floats, least: _Floats) -> tuple[Point, ...]:
    """What no other found profile beats in both precision and recall, by falling recall."""
    off = np.full(len(start), -np.inf)
    found = [fit(problem, Goal(target), start, [least, off]) for target in _TARGETS]
    found += [fit(problem, Goal(), start, [least]), off]
    reached = {quality(predict(problem, each), problem.keep) for each in found}
    points = [Point(0.0, each.precision, each.recall) for each in reached]
    points.sort(key=lambda point: (-point.recall, -point.precision))
    best, front = -1.0, []
    for point in points:
        if point.precision > best:
            best = point.precision
            front.append(point)
    return tuple(front)


def _changes(before: _Judged, after: _Judged, matched: Matched) -> list[Change]:
    """Photos whose verdict changes: against a mark first, then where nobody marked."""
    changes = []
    for sha256, first in before.verdicts.items():
        last = after.verdicts[sha256]
        if first.kept != last.kept:
            checks = first.failed_checks if last.kept else last.failed_checks
            changes.append(_change(last, last.kept, checks, matched))

    def wanted(change: Change) -> int:
        return 1 if not change.mark else 2 if (change.mark == "keep") == change.kept else 0

    return sorted(changes, key=wanted)


def _side(
    check: str, sha256: str, before: _Judged, after: _Judged, matched: Matched, last: Threshold
) -> Change | None:
    """A change if the photo lies between the old and the new threshold of this check."""
    value = before.values(sha256).get(check)
    if value is None:
        return None
    passed = check not in before.verdicts[sha256].failed_checks
    passes = not last.enabled or CHECKS[check].passes(value, last.value)
    if passed == passes:
        return None
    return _change(after.verdicts[sha256], passes, (check,), matched)


def _change(verdict: Verdict, kept: bool, checks: tuple[str, ...], matched: Matched) -> Change:
    mark = matched.marks.get(verdict.sha256)
    said = "" if mark is None else "keep" if mark.keep else "reject"
    return Change(verdict.sha256, verdict.source, kept, checks, said)
