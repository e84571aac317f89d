"""What a GPU does, so as not to wait for the margins that suffice, gives the same."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from services.trainer.augment import matrices
from services.trainer.augment.resample import (
    _fold,
    _margins,
    _resample_padded,
    resample,
    resample_anywhere,
    resample_folded,
)
from services.trainer.augment.wavelets import SYM6
from tagloom.networks.ops.upfirdn2d import setup_filter

WAVELET = setup_filter(SYM6)


def transforms(count: int, size: int, strength: float, seed: int) -> Tensor:
    """Any rotation; scales and translations of about `strength`."""
    generator = torch.Generator().manual_seed(seed)

    def normal() -> Tensor:
        return torch.randn(count, generator=generator, dtype=torch.float64) * strength

    turned = matrices.rotation(torch.rand(count, generator=generator).double() * 2 * math.pi)
    scaled = matrices.scaling(torch.exp2(normal()), torch.exp2(normal()))
    return scaled @ turned @ matrices.translation(normal() * size, normal() * size)


@pytest.mark.parametrize(("height", "width"), [(40, 40), (37, 64), (13, 50), (48, 15), (16, 16)])
@pytest.mark.parametrize("strength", [0.0, 0.2, 1.0])
def test_every_way_gives_the_same(height: int, width: int, strength: float) -> None:
    generator = torch.Generator().manual_seed(0)
    moves = transforms(12, max(height, width), strength, seed=height)
    left, top, right, bottom = _margins(moves, height, width, 3)
    if strength == 1:  # beyond the reflection's end, where the black begins
        assert max(left, right) == width - 1
        assert max(top, bottom) == height - 1
    images = torch.randn(12, 3, height, width, generator=generator, dtype=torch.float64)
    images.requires_grad_()
    weights = torch.randn(12, 3, height, width, generator=generator, dtype=torch.float64)
    widest = width - 1, height - 1, width - 1, height - 1
    results = []
    for way in (
        partial(_resample_padded, margins=widest),
        resample_folded,
        resample_anywhere,
        resample,
    ):
        moved = way(images, moves, WAVELET)
        (gradient,) = torch.autograd.grad((moved * weights).sum(), images)
        results.append((moved, gradient))
    # The margins that suffice leave out the wavelet's last taps, which are nearly 0.
    for (moved, gradient), tolerance in zip(results[1:], (1e-9, 1e-9, 2e-6), strict=True):
        torch.testing.assert_close(moved, results[0][0], rtol=0, atol=tolerance)
        torch.testing.assert_close(gradient, results[0][1], rtol=0, atol=tolerance)


def test_folding_saves_more_than_half_of_a_large_image() -> None:
    folded = _fold(_fold(torch.zeros(1, 1, 256, 256), 2, 4), 3, 4)
    assert folded.numel() < 0.51 * (3 * 256 - 2) ** 2


def test_gradients_can_be_differentiated_again() -> None:
    """As R1 does."""
    images = torch.randn(2, 1, 14, 14, dtype=torch.float64, requires_grad=True)
    moves = transforms(2, 14, 0.2, seed=1)
    penalties = []
    for way in (resample, resample_folded):
        moved = way(images, moves, WAVELET)
        (gradient,) = torch.autograd.grad(moved.pow(3).sum(), images, create_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), images)
        penalties.append(second)
    torch.testing.assert_close(*penalties, rtol=1e-7, atol=1e-7)


def test_nothing_is_asked_of_the_transforms() -> None:
    """A meta tensor has no numbers: whatever wants to know one fails."""
    moves = torch.empty(2, 3, 3, device="meta")
    for size in (16, 64):
        images = torch.empty(2, 3, size, size, device="meta")
        assert resample_anywhere(images, moves, WAVELET.to("meta")).shape == images.shape
        with pytest.raises((NotImplementedError, RuntimeError)):
            resample(images, moves, WAVELET.to("meta"))
