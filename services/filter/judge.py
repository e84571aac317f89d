"""Scores and a profile to verdicts: pure arithmetic, no image is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.filter.bulk import without_collector
from services.filter.checks import CHECKS, FORMAT, Check, Measured, Member, Score
from tagloom.artifacts.dataset import CheckResult, Threshold, Verdict

__all__ = ["judge", "judge_collection"]

_UNKNOWN = Measured(0, 0, Score(0.0))
_NOTHING: Mapping[str, Measured] = {}


@without_collector()
def judge_collection(
    sources: Mapping[str, str],
    measured: Mapping[str, Mapping[str, Measured]],
    thresholds: Sequence[Threshold],
    resolution: int,
    demands: Mapping[str, CheckResult] | None = None,
) -> list[Verdict]:
    """The verdict on every image of a collection for training at `resolution` px, in its order.

    `sources`: hash to source. `measured`: hash to check to score; an undecodable image has that
    of `format` alone, and its other results are left out. An image stays when every check that
    ran and is on passes, and the demand on it that comes from elsewhere (`demands`, by hash).
    Checks that compare are asked last, and told which images passed the others.
    """
    on = [threshold for threshold in thresholds if threshold.enabled]
    alone = [
        (check, check.source, check.judged, threshold.value)
        for threshold in on
        if (check := CHECKS[threshold.check]).relate is None
    ]
    results: dict[str, list[CheckResult]] = {}
    for sha256 in sources:  # image by image: what is known of one lies together in memory
        of_image = measured.get(sha256, _NOTHING)
        results[sha256] = [
            _result(check, bound, judged(found.score, resolution), found.score)
            for check, source, judged, bound in alone
            if (found := of_image.get(source)) is not None
        ]
    for sha256, result in (demands or {}).items():
        results[sha256].append(result)
    for threshold in on:
        if CHECKS[threshold.check].relate is not None:
            for sha256, result in _compared(sources, measured, results, threshold):
                results[sha256].append(result)
    return [
        _verdict(sha256, source, measured.get(sha256, _NOTHING), results[sha256])
        for sha256, source in sources.items()
    ]


def judge(
    sha256: str,
    source: str,
    measured: Mapping[str, Measured],
    thresholds: Sequence[Threshold],
    resolution: int,
) -> Verdict:
    """The verdict on one image, as if it were a collection of its own."""
    (verdict,) = judge_collection({sha256: source}, {sha256: measured}, thresholds, resolution)
    return verdict


def _compared(
    sources: Mapping[str, str],
    measured: Mapping[str, Mapping[str, Measured]],
    results: Mapping[str, Sequence[CheckResult]],
    threshold: Threshold,
) -> list[tuple[str, CheckResult]]:
    """What a check that compares says of every image that it knows."""
    check = CHECKS[threshold.check]
    assert check.relate is not None
    members = [
        Member(sha256, found, all(result.passed for result in results[sha256]))
        for sha256 in sources
        if (found := measured.get(sha256, _NOTHING).get(check.source)) is not None
    ]
    compared = []
    for member, related in zip(members, check.relate(members), strict=True):
        score = Score(related.value, detail=related.detail)
        other = related.other
        result = _result(
            check, threshold.value, related.value, score, other, sources.get(other, "")
        )
        compared.append((member.sha256, result))
    return compared


def _result(
    check: Check, bound: float, value: float, score: Score, related: str = "", other: str = ""
) -> CheckResult:
    passed = value >= bound if check.minimum else value <= bound
    detail = score.detail
    if not passed and not (detail and check.name == FORMAT):
        detail = check.explain(value, bound)
        if other:
            detail = f"{detail.removesuffix('.')}: {other}."
    return CheckResult.trusted(
        {
            "check": check.name,
            "score": value,
            "unit": check.unit,
            "threshold": bound,
            "minimum": check.minimum,
            "passed": passed,
            "boxes": score.boxes,
            "detail": detail,
            "related": related,
        }
    )


def _verdict(
    sha256: str, source: str, measured: Mapping[str, Measured], results: Sequence[CheckResult]
) -> Verdict:
    failed = tuple([result.check for result in results if not result.passed])
    # Every check stored the same size; that of the format is always there.
    sized = measured.get(FORMAT) or next(iter(measured.values()), _UNKNOWN)
    return Verdict.trusted(
        {
            "sha256": sha256,
            "source": source,
            "kept": bool(results) and not failed,
            "failed_checks": failed,
            "results": tuple(results),
            "width": sized.width,
            "height": sized.height,
            "tiles": 0,
            "squares": (),
            "label": "",
        }
    )
