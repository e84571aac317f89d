"""What the checks did to a collection: how many photos each rejected, and how many it alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipelines.report.charts import number
from tagloom.v1 import filter_pb2

__all__ = ["YES_OR_NO", "CheckCount", "Findings", "bound_text", "findings", "rule_text"]

YES_OR_NO = {"valid", "boolean"}
"""units of checks whose score is 0 or 1"""


@dataclass(frozen=True, slots=True)
class CheckCount:
    """A line of the summary."""

    name: str
    rule: str
    failed: int
    alone: int
    """of them, those that passed every other check: what comes back without it"""
    width: float
    """of the bar, per cent of the longest"""
    alone_width: float


@dataclass(frozen=True, slots=True)
class Findings:
    """Of the photos whose verdicts were read."""

    photos: int
    counts: list[CheckCount]
    """the checks that some photo failed, the busiest first"""
    silent: list[str]
    """the others"""


def findings(verdicts: Sequence[filter_pb2.Verdict]) -> Findings:
    """Counts over `verdicts`."""
    failed: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    rules: dict[str, str] = {}
    for verdict in verdicts:
        failed.update(verdict.failed_checks)
        if len(verdict.failed_checks) == 1:
            alone[verdict.failed_checks[0]] += 1
        for result in verdict.results:
            if result.check not in rules:
                rules[result.check] = rule_text(result)
    longest = max(failed.values(), default=1)
    counts = [
        CheckCount(
            name,
            rules.get(name, ""),
            count,
            alone[name],
            100 * count / longest,
            100 * alone[name] / longest,
        )
        for name, count in _busiest(failed, rules)
    ]
    return Findings(len(verdicts), counts, [name for name in rules if name not in failed])


def rule_text(result: filter_pb2.CheckResult) -> str:
    """`≥ 0.4 levels`, `≤ 3 %`, `yes or no`."""
    if result.unit in YES_OR_NO:
        return "yes or no"
    sign = "≥" if result.minimum else "≤"
    unit = "" if result.unit == "ratio" else f" {result.unit}"
    return f"{sign} {bound_text(result)}{unit}"


def bound_text(result: filter_pb2.CheckResult) -> str:
    """The threshold, a ratio in per cent."""
    value = result.threshold
    return f"{number(100 * value)} %" if result.unit == "ratio" else number(value)


def _busiest(failed: Counter[str], order: Iterable[str]) -> list[tuple[str, int]]:
    """Of equally busy ones, in the order in which they are asked."""
    place = {name: index for index, name in enumerate(order)}
    return sorted(failed.items(), key=lambda entry: (-entry[1], place.get(entry[0], len(place))))
