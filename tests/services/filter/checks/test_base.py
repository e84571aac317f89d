"""Sentences of checks: a score and its threshold never look alike where they differ."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.filter.checks import CHECKS
from services.filter.checks.base import apart


def test_as_few_digits_as_do():
    assert apart(0.0123, 0.006, 1, "%") == ("1.2%", "0.6%")
    assert apart(0.0101, 0.01, 1, "%") == ("1.01%", "1.00%")
    assert apart(31, 30, 0) == ("31", "30")
    assert apart(0.5, 0.5, 2) == ("0.50", "0.50")


@given(st.floats(0, 1000), st.floats(0, 1000), st.integers(0, 3), st.sampled_from(["f", "%"]))
@example(0.01 + 1e-12, 0.01, 1, "f")  # too close for any text that a person reads
def test_what_differs_looks_different(value, threshold, digits, kind):
    texts = apart(value, threshold, digits, kind)
    if abs(value - threshold) >= 1e-8:
        assert texts[0] != texts[1]
    numbers = [float(text.removesuffix("%")) for text in texts]
    assert (numbers[0] <= numbers[1]) == (value <= threshold) or texts[0] == texts[1]


@pytest.mark.parametrize("check", [c for name, c in CHECKS.items() if name != "format"])
def test_no_sentence_says_the_same_number_twice(check):
    bound = check.threshold or 0.1
    off = -1e-4 if check.minimum else 1e-4
    sentence = check.explain(bound * (1 + off), bound)
    words = [word.strip(".,:%") for word in sentence.split()]
    numbers = [word for word in words if word.replace(".", "", 1).replace("-", "").isdigit()]
    assert len(numbers) == len(set(numbers)) >= 2, sentence
