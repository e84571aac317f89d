"""Between messages about tuning and the filter's own types."""

from __future__ import annotations

from collections.abc import Iterable

from services.filter.checks import CHECKS
from services.filter.tuning.marks import Mark
from services.filter.tuning.proposal import Change, Point, Proposal, TunedCheck, advice
from services.filter.tuning.trust import Estimate, Trusted
from services.filter.tuning.tune import TuneRequest
from tagloom.artifacts import layout
from tagloom.artifacts.dataset import Threshold
from tagloom.v1 import filter_pb2

__all__ = ["tune_request", "tune_response"]

_SAID = {
    "": filter_pb2.SideChange.SAID_UNSPECIFIED,
    "keep": filter_pb2.SideChange.SAID_KEEP,
    "reject": filter_pb2.SideChange.SAID_REJECT,
}


def tune_request(request: filter_pb2.TuneProfileRequest) -> TuneRequest:
    """What is asked for. Raises InvalidArgument."""
    (collection_id,) = layout.parse_name(request.collection, "collections/{}")
    asked = TuneRequest(
        collection=collection_id,
        marks=tuple(Mark(mark.image, mark.keep, mark.reason) for mark in request.marks),
        resolution=request.resolution,
        profile=request.profile,
        thresholds=tuple(
            Threshold(check=threshold.check, enabled=threshold.enabled, value=threshold.value)
            for threshold in request.thresholds
        ),
        precision=request.precision,
        seed=request.seed,
    )
    asked.checked()
    return asked


def tune_response(
    request: filter_pb2.TuneProfileRequest, proposal: Proposal
) -> filter_pb2.TuneProfileResponse:
    """A proposal as clients see it."""
    response = filter_pb2.TuneProfileResponse(
        collection=request.collection,
        thresholds=[_threshold(threshold) for threshold in proposal.thresholds],
        checks=[_check(check) for check in proposal.checks],
        keep_count=proposal.keep,
        reject_count=proposal.reject,
        unknown_images=proposal.unknown,
        before=_agreement(proposal.before),
        fitted=_agreement(proposal.fitted),
        frontier=_points(proposal.frontier),
        kept_before_count=proposal.kept_before,
        kept_after_count=proposal.kept_after,
        changes=_changes(proposal.changes),
        change_count=proposal.change_count,
        advice=advice(proposal, request.precision or None),
    )
    if proposal.expected is not None and proposal.gain is not None:
        response.expected.CopyFrom(_agreement(proposal.expected))
        response.gain.CopyFrom(_estimate(proposal.gain))
    return response


def _check(tuned: TunedCheck) -> filter_pb2.TunedCheck:
    check = CHECKS[tuned.before.check]
    return filter_pb2.TunedCheck(
        check=check.name,
        unit=check.unit,
        minimum=check.minimum,
        before=_threshold(tuned.before),
        after=_threshold(tuned.after),
        alone=_threshold(tuned.alone),
        low=tuned.low,
        high=tuned.high,
        separation=tuned.separation,
        precision=tuned.precision,
        recall=tuned.recall,
        mark_count=tuned.marked,
        curve=_points(tuned.curve),
        changes=_changes(tuned.changes),
        change_count=tuned.change_count,
    )


def _threshold(threshold: Threshold) -> filter_pb2.Threshold:
    return filter_pb2.Threshold(
        check=threshold.check, enabled=threshold.enabled, value=threshold.value
    )


def _estimate(estimate: Estimate) -> filter_pb2.Estimate:
    return filter_pb2.Estimate(value=estimate.value, low=estimate.low, high=estimate.high)


def _agreement(trusted: Trusted) -> filter_pb2.Agreement:
    return filter_pb2.Agreement(
        precision=_estimate(trusted.precision),
        recall=_estimate(trusted.recall),
        f1=_estimate(trusted.f1),
    )


def _points(points: Iterable[Point]) -> list[filter_pb2.TradeOff]:
    return [
        filter_pb2.TradeOff(
            threshold=point.threshold, precision=point.precision, recall=point.recall
        )
        for point in points
    ]


def _changes(changes: Iterable[Change]) -> list[filter_pb2.SideChange]:
    return [
        filter_pb2.SideChange(
            sha256=change.sha256,
            source=change.source,
            kept=change.kept,
            checks=change.checks,
            said=_SAID[change.mark],
        )
        for change in changes
    ]
