"""The gate: passed only when the intervals are apart, and in the right direction."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.evaluator.gate import best_by, judge, score_named
from tagloom.artifacts.evaluation import Score, SnapshotScore

METRIC = "kernel_efficientnet_lite0"


def snapshot(kimg: float, value: float, half: float = 0.01) -> SnapshotScore:
    score = Score(metric=METRIC, value=value, low=value - half, high=value + half)
    other = Score(metric="frechet_efficientnet_lite0", value=9, low=9, high=9)
    return SnapshotScore(
        snapshot=f"runs/r/snapshots/{kimg:010.3f}",
        kimg=kimg,
        scores=(other, score),
        real=60,
        generated=600,
        seconds=1,
    )


@pytest.mark.parametrize(
    ("values", "passed", "says"),
    [
        ([0.5, 0.2, 0.1], True, "below the start's by more than both"),
        ([0.5, 0.485], False, "overlap"),
        ([0.5, 0.4801], False, "overlap"),
        ([0.5, 0.4799], True, "by more than both"),
        ([0.5, 0.5], False, "not below"),
        ([0.5, 0.1, 0.7], False, "not below"),  # the last one counts, not the best
    ],
)
def test_the_last_against_the_start(values: list[float], passed: bool, says: str) -> None:
    gate = judge([snapshot(k, v) for k, v in enumerate(values)], METRIC, held_out=True)
    assert gate.passed is passed
    assert says in gate.sentence
    for part in (METRIC, "60 held-out images", "600 generated", f"{values[-1]:.4g} ["):
        assert part in gate.sentence
    assert ("train longer" in gate.sentence) is not passed


def test_it_says_when_nothing_was_held_out() -> None:
    gate = judge([snapshot(0, 0.5), snapshot(1, 0.1)], METRIC, held_out=False)
    assert "training images (none were held out)" in gate.sentence


def test_without_a_start_or_without_training_it_fails() -> None:
    alone = judge([snapshot(0, 0.5)], METRIC, held_out=True)
    assert not alone.passed
    assert "no snapshot after the start" in alone.sentence
    late = judge([snapshot(1, 0.5), snapshot(2, 0.1)], METRIC, held_out=True)
    assert not late.passed
    assert "kimg 0) was not scored" in late.sentence


finite = st.floats(-1, 1)
halves = st.floats(0, 1)


@given(finite, halves, finite, halves)
def test_passing_means_intervals_apart(v0: float, h0: float, v1: float, h1: float) -> None:
    start, last = snapshot(0, v0, h0), snapshot(2, v1, h1)
    gate = judge([start, last], METRIC, held_out=True)
    assert gate.passed == (v1 + h1 < v0 - h0)
    # What passes one way cannot pass the other way round.
    swapped = judge([snapshot(0, v1, h1), snapshot(2, v0, h0)], METRIC, held_out=True)
    assert not (gate.passed and swapped.passed)


def test_best_is_the_lowest_and_the_earliest_of_equals() -> None:
    scored = [snapshot(0, 0.5), snapshot(1, 0.1), snapshot(2, 0.1), snapshot(3, 0.2)]
    assert best_by(scored, METRIC).kimg == 1
    with pytest.raises(KeyError):
        score_named(scored[0], "fid")
