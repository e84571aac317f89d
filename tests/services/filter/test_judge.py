"""Judging: arithmetic on stored scores."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.filter.checks import CHECKS, Measured, Score
from services.filter.judge import judge
from services.filter.profile import profile
from tagloom.artifacts.dataset import Threshold, Verdict

SHA = "0" * 64
GOOD = {
    "format": 1.0,
    "resolution": 300,
    "aspect": 1.5,
    "sharpness": 0.8,
    "grayscale": 90,
    "text": 0,
    "faces": -1,
}
OPTIONAL = [name for name in CHECKS if name != "format" and CHECKS[name].weights is None]
scores = st.fixed_dictionaries(
    {
        "format": st.just(1.0),
        "resolution": st.floats(1, 5000),
        "aspect": st.floats(1, 20),
        "sharpness": st.floats(0, 1),
        "grayscale": st.floats(0, 255),
        "text": st.floats(0, 1),
        "faces": st.floats(-0.5, 3),
    }
)


def verdict_on(values, thresholds=None, resolution=256):
    measured = {name: Measured(400, 300, Score(float(value))) for name, value in values.items()}
    return judge(SHA, "a.jpg", measured, thresholds or profile(()), resolution)


def test_a_good_photo_stays_with_every_result():
    verdict = verdict_on(GOOD)
    assert verdict.kept
    judged = [result.check for result in verdict.results]
    assert judged == [name for name in CHECKS if CHECKS[name].source in GOOD]
    assert (verdict.width, verdict.height) == (400, 300)


@given(values=scores, resolution=st.integers(4, 4096))
def test_what_is_built_without_validation_is_valid(values, resolution):
    verdict = verdict_on(values, resolution=resolution)
    assert Verdict.model_validate(verdict.model_dump(), strict=True) == verdict


@given(values=scores, resolution=st.integers(4, 4096))
def test_stays_exactly_when_every_check_passes(values, resolution):
    verdict = verdict_on(values, resolution=resolution)
    failed = []
    for result in verdict.results:
        good = (
            result.score >= result.threshold if result.minimum else result.score <= result.threshold
        )
        assert result.passed is good
        assert bool(result.detail) or good
        failed += [] if good else [result.check]
    assert verdict.failed_checks == tuple(failed)
    assert verdict.kept is (not failed)


@given(values=scores, data=st.data())
def test_a_looser_threshold_never_rejects_more(values, data):
    name = data.draw(st.sampled_from(OPTIONAL))
    check = CHECKS[name]
    bounds = sorted(data.draw(st.tuples(*[st.floats(check.low, check.high)] * 2)))
    loose, tight = bounds if check.minimum else bounds[::-1]
    kept = [
        verdict_on(values, profile([Threshold(check=name, value=bound)])).kept
        for bound in (loose, tight)
    ]
    assert kept[0] >= kept[1]


@given(values=scores, data=st.data())
def test_a_check_that_is_off_says_nothing(values, data):
    name = data.draw(st.sampled_from(OPTIONAL))
    verdict = verdict_on(values, profile([Threshold(check=name, enabled=False, value=0)]))
    assert name not in [result.check for result in verdict.results]
    assert name not in verdict.failed_checks


@pytest.mark.parametrize(("side", "kept"), [(204, False), (205, True)])
def test_eighty_percent_of_the_resolution(side, kept):
    verdict = verdict_on(GOOD | {"resolution": side})
    assert verdict.kept is kept
    result = verdict.results[1]
    assert result.score == side / 256
    assert kept or "is 79.7% of the wanted resolution, below 80.0%" in result.detail


def test_an_undecodable_image_has_one_result():
    measured = {"format": Measured(0, 0, Score(0.0, detail="The file is empty."))}
    verdict = judge(SHA, "a.jpg", measured, profile(()), 256)
    assert not verdict.kept
    assert verdict.failed_checks == ("format",)
    assert [result.detail for result in verdict.results] == ["The file is empty."]
