"""p stays a probability, goes the way it should, and survives whatever it is told."""

from __future__ import annotations

import pytest
import torch
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
        before = float(control.p)
        p = float(control.judge(torch.tensor([sign, 1.0], dtype=torch.float64), images))
        assert p == float(control.p)
        assert 0 <= p <= 1
        assert (p >= before) if sign > target else (p <= before) if sign < target else p == before


def test_p_needs_the_given_kimg_from_0_to_1() -> None:
    control = AugmentControl(target=0.6, kimg=0.5)
    sure, unsure = torch.tensor([7.0, 10.0]), torch.tensor([5.0, 10.0])
    went = [float(control.judge(sure, 125)) for _ in range(5)]
    assert went == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert float(control.judge(unsure, 125)) == pytest.approx(0.75)


def test_p_stays_without_a_score() -> None:
    control = AugmentControl(target=0.6, kimg=0.5, p=torch.tensor(0.3, dtype=torch.float64))
    assert float(control.judge(torch.zeros(2), 125)) == 0.3


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
