"""Scores as people read them."""

from __future__ import annotations

import pytest

from tagloom.cli.cards import score_text
from tagloom.v1 import filter_pb2


@pytest.mark.parametrize(
    ("score", "threshold", "unit", "minimum", "text"),
    [
        (0.712, 0.4, "ratio", True, "71.2 % ≥ 40 %"),
        (11.02, 0.8, "ratio", True, "1,102 % ≥ 80 %"),
        (30000.0, 3.0, "times", False, "30,000 > 3"),
        (0.61, 0.5, "confidence", False, "0.61 > 0.5"),
        (1.0, 1.0, "valid", True, "yes"),
    ],
)
def test_no_exponents(score: float, threshold: float, unit: str, minimum: bool, text: str) -> None:
    passed = score >= threshold if minimum else score <= threshold
    result = filter_pb2.CheckResult(
        score=score, threshold=threshold, unit=unit, minimum=minimum, passed=passed
    )
    assert score_text(result) == text
