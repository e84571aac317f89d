"""Profiles: overrides in place, everything else at its default, mistakes named."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.filter.checks import CHECKS
from services.filter.profile import PROFILES, named_profile, profile
from tagloom.artifacts.dataset import Threshold
from tagloom.errors import FailedPrecondition, InvalidArgument

NAMES = list(CHECKS)
optional = [name for name in NAMES if name != "format" and CHECKS[name].weights is None]


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_names_every_check(name):
    thresholds = profile((), name)
    assert [threshold.check for threshold in thresholds] == NAMES
    for threshold in thresholds:
        check = CHECKS[threshold.check]
        assert check.low <= threshold.value <= check.high
        assert threshold.enabled or check.name not in ("format", "sharpness", "text")


def test_the_default_profile_has_the_default_thresholds():
    for threshold in profile(()):
        assert threshold.value == CHECKS[threshold.check].threshold


def test_strict_is_stricter_and_lenient_more_lenient():
    by_name = {name: {t.check: t.value for t in named_profile(name)} for name in PROFILES}
    for check in CHECKS.values():
        order = [by_name[name][check.name] for name in ("lenient", "default", "strict")]
        assert sorted(order, reverse=not check.minimum) == order


def test_an_unknown_profile_is_named_with_the_known_ones():
    with pytest.raises(InvalidArgument, match="strict") as caught:
        profile((), "severe")
    assert caught.value.reason == "UNKNOWN_PROFILE"


def test_a_check_without_its_weights_cannot_be_switched_on(monkeypatch):
    for check in CHECKS.values():
        if check.weights is not None:
            monkeypatch.delenv(check.weights.environment, raising=False)
            with pytest.raises(FailedPrecondition, match=check.weights.environment):
                profile([Threshold(check=check.name, value=check.threshold)])


@given(st.data())
def test_overrides_are_kept_in_order_and_nothing_else_moves(data):
    chosen = data.draw(st.lists(st.sampled_from(optional), unique=True))
    overrides = [
        Threshold(
            check=name,
            enabled=data.draw(st.booleans()),
            value=data.draw(st.floats(CHECKS[name].low, CHECKS[name].high)),
        )
        for name in chosen
    ]
    result = {threshold.check: threshold for threshold in profile(overrides)}
    assert list(result) == NAMES
    for threshold in overrides:
        assert result[threshold.check] == threshold
    for name in set(NAMES) - set(chosen):
        assert result[name].value == CHECKS[name].threshold


@pytest.mark.parametrize(
    ("overrides", "reason", "word"),
    [
        ([Threshold(check="smiles", value=1)], "UNKNOWN_CHECK", "faces"),
        ([Threshold(check="sharpnes", value=1)], "UNKNOWN_CHECK", "did you mean 'sharpness'?"),
        ([Threshold(check="format", value=0)], "THRESHOLD_OUT_OF_RANGE", "leave it out"),
        ([Threshold(check="text", value=0.1)] * 2, "DUPLICATE_CHECK", "text"),
        ([Threshold(check="format", enabled=False, value=1)], "FORMAT_REQUIRED", "switched off"),
        ([Threshold(check="text", value=2)], "THRESHOLD_OUT_OF_RANGE", "0 to 1"),
        ([Threshold(check="faces", value=math.inf)], "THRESHOLD_OUT_OF_RANGE", "inf"),
    ],
)
def test_mistakes_are_named(overrides, reason, word):
    with pytest.raises(InvalidArgument) as caught:
        profile(overrides)
    assert caught.value.reason == reason
    assert caught.value.metadata["field"] == "thresholds"
    assert word in caught.value.message


@given(name=st.sampled_from(optional))
def test_nan_is_no_threshold(name):
    # Nor where the check is off: in a manifest, which is JSON, it could not be read again.
    for enabled in (True, False):
        for value in (math.nan, math.inf, -math.inf):
            with pytest.raises(InvalidArgument, match="out of range"):
                profile([Threshold(check=name, enabled=enabled, value=value)])
