"""p stays a probability, goes the way it should, and survives whatever it is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.trainer.augment import PIPES, AugmentControl, AugmentSettings


@given(
    signs=st.lists(st.floats(-1, 1), max_size=50),
    target=st.floats(-1, 1),
    kimg=st.floats(1e-3, 1e4),
    images=st.integers(1, 10**6),
)
def test_p_stays_within_0_and_1_and_moves_towards_the_target(
    signs: list[float], target: float, kimg: float, images: int
) -> None:
    control = AugmentControl(target=target, kimg=kimg)
    for sign in signs:
        before = control.p
        p = control.judge(sign, images)
        assert p == control.p
        assert 0 <= p <= 1
        assert (p >= before) if sign > target else (p <= before) if sign < target else p == before


def test_p_needs_the_given_kimg_from_0_to_1() -> None:
    control = AugmentControl(target=0.6, kimg=0.5)
    assert [control.judge(0.7, 125) for _ in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert control.judge(0.5, 125) == pytest.approx(0.75)


def test_pipes_are_the_papers() -> None:
    assert set(PIPES) == {
        *("blit", "geom", "color", "filter", "noise", "cutout"),
        *("bg", "bgc", "bgcf", "bgcfn", "bgcfnc"),
    }
    assert PIPES["bg"] == AugmentSettings(
        xflip=1, rotate90=1, xint=1, scale=1, rotate=1, aniso=1, xfrac=1
    )
    assert PIPES["bgcfnc"].cutout == PIPES["bgcfnc"].noise == PIPES["bgcfnc"].imgfilter == 1
    assert PIPES["cutout"] == AugmentSettings(cutout=1)
