"""Scores and a profile to a verdict: pure arithmetic, no image is looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.filter.checks import CHECKS, Measured
from tagloom.artifacts.dataset import CheckResult, Threshold, Verdict

__all__ = ["judge"]


def judge(
    sha256: str,
    source: str,
    measured: Mapping[str, Measured],
    thresholds: Iterable[Threshold],
    resolution: int,
) -> Verdict:
    """The verdict on one image for training at `resolution` px.

    `measured` holds scores by check; an undecodable image has that of `format` alone, and its
    other results are left out. An image stays when every check that ran and is on passes.
    """
    results = []
    for threshold in thresholds:
        found = measured.get(threshold.check)
        if found is None or not threshold.enabled:
            continue
        check = CHECKS[threshold.check]
        value = check.judged(found.score.value, resolution)
        passed = check.passes(value, threshold.value)
        detail = found.score.detail
        if not passed and not (detail and check.name == "format"):
            detail = check.explain(value, threshold.value)
        results.append(
            CheckResult(
                check=check.name,
                score=value,
                unit=check.unit,
                threshold=threshold.value,
                minimum=check.minimum,
                passed=passed,
                boxes=found.score.boxes,
                detail=detail,
            )
        )
    failed = tuple(result.check for result in results if not result.passed)
    sizes = [(found.width, found.height) for found in measured.values()]
    width, height = max(sizes, default=(0, 0))
    return Verdict(
        sha256=sha256,
        source=source,
        kept=bool(results) and not failed,
        failed_checks=failed,
        results=tuple(results),
        width=width,
        height=height,
    )
