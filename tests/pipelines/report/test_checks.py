"""Counting what checks rejected."""

from __future__ import annotations

from pipelines.report.checks import findings
from tagloom.v1 import filter_pb2


def judged(*failed: str) -> filter_pb2.Verdict:
    results = [
        filter_pb2.CheckResult(check="format", unit="valid", passed="format" not in failed),
        filter_pb2.CheckResult(
            check="sharpness",
            unit="ratio",
            minimum=True,
            threshold=0.4,
            passed="sharpness" not in failed,
        ),
        filter_pb2.CheckResult(
            check="faces", unit="confidence", threshold=0.5, passed="faces" not in failed
        ),
    ]
    return filter_pb2.Verdict(kept=not failed, failed_checks=failed, results=results)


def test_the_busiest_first_and_those_that_no_photo_failed_apart() -> None:
    found = findings(
        [judged(), judged("faces"), judged("faces", "sharpness"), judged("sharpness", "faces")]
    )
    assert [(c.name, c.rule, c.failed, c.alone) for c in found.counts] == [
        ("faces", "\N{LESS-THAN OR EQUAL TO} 0.5 confidence", 3, 1),
        ("sharpness", "\N{GREATER-THAN OR EQUAL TO} 40 %", 2, 0),
    ]
    assert [round(c.width) for c in found.counts] == [100, 67]
    assert found.silent == ["format"]


def test_a_collection_without_faults_has_nothing_to_count() -> None:
    assert findings([judged(), judged()]).counts == []
    assert findings([]).silent == []
