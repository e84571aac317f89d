"""Margins: zero on the threshold, the same scale for all checks, never on the wrong side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.filter.closeness import closeness, margin
from tagloom.artifacts.dataset import CheckResult, Verdict


def result(score, threshold, *, minimum=True, check="sharpness", unit="ratio"):
    passed = score >= threshold if minimum else score <= threshold
    return CheckResult(
        check=check, score=score, unit=unit, threshold=threshold, minimum=minimum, passed=passed
    )


numbers = st.floats(-1e6, 1e6)


@given(score=numbers, threshold=numbers, minimum=st.booleans())
def test_the_sign_is_the_verdict(score, threshold, minimum):
    found = result(score, threshold, minimum=minimum)
    assert -1 <= margin(found) <= 1
    assert margin(found) >= 0 if found.passed else margin(found) <= 0


@given(
    scores=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    threshold=st.floats(-1, 1),
    minimum=st.booleans(),
)
def test_a_better_score_has_no_smaller_margin(scores, threshold, minimum):
    low, high = sorted(scores)
    first, second = (margin(result(score, threshold, minimum=minimum)) for score in (low, high))
    assert first <= second if minimum else first >= second


def test_on_the_threshold_and_far_from_it():
    assert margin(result(0.4, 0.4)) == 0
    assert margin(result(0.0, 0.01, minimum=False)) == 1
    assert margin(result(0.5, 0.01, minimum=False)) == -1
    assert margin(result(-0.5, 0.5, minimum=False, unit="confidence")) == 1
    assert margin(result(1.0, 1.0, unit="valid")) == 1
    assert 0 < margin(result(0.5, 0.4)) < margin(result(0.8, 0.4)) < 0.5


def test_a_photo_without_a_copy_is_not_a_borderline_case():
    """Else all that stay would be as close as 32 bits are to 30, and in no order."""
    alone = result(32.0, 30.0, check="duplicates", unit="bits")
    assert margin(alone) == 1
    assert closeness(verdict(alone, result(0.5, 0.4))) == margin(result(0.5, 0.4))
    burst = alone.model_copy(update={"score": 31.0, "related": "a" * 64})
    assert 0 < margin(burst) < 0.1
    copy = result(28.0, 30.0, check="duplicates", unit="bits")
    assert -0.1 < margin(copy) < 0


def verdict(*results):
    failed = tuple(r.check for r in results if not r.passed)
    return Verdict(sha256="", source="", kept=not failed, failed_checks=failed, results=results)


def test_a_verdict_is_as_close_as_what_decides_it():
    near, far = result(0.41, 0.4), result(0.9, 0.4, check="text")
    assert closeness(verdict(near, far)) == margin(near)
    missed, clear = result(0.39, 0.4), result(0.05, 0.4, check="faces")
    assert closeness(verdict(near, missed)) == -margin(missed)
    assert closeness(verdict(missed, clear)) == -margin(clear)  # both would have to move
    assert closeness(verdict(result(0.0, 1.0, unit="valid", check="format"))) == 1
    assert closeness(verdict()) == pytest.approx(1)
