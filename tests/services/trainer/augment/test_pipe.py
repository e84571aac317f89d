"""What the pipe leaves alone, and how p moves."""

from __future__ import annotations

import pytest
import torch

from services.trainer.augment import AugmentPipe, AugmentSettings
from services.trainer.augment.resample import resample
from services.trainer.draws import KeyedDraws

DRAWS = KeyedDraws(seed=3, step=7, batch=16, z_dim=4)


def test_with_p_0_the_images_are_untouched() -> None:
    images = torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    augmented = AugmentPipe()(images, DRAWS.augment("Dmain", "real"))
    assert (augmented - images).abs().max() < 1e-6


def test_images_that_stay_are_as_if_they_had_been_resampled() -> None:
    """The shortcut for unmoved images is exact up to rounding."""
    images = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    pipe = AugmentPipe(AugmentSettings(xflip=1, scale=1, rotate=1))
    pipe.p.fill_(0.3)
    transforms = pipe._transforms(images, DRAWS.augment("Dmain", "real"))
    assert transforms is not None
    still = (transforms == torch.eye(3)).flatten(1).all(dim=1)
    assert 0 < int(still.sum()) < 16
    every = resample(images, transforms, pipe.geometry_filter)
    some = pipe._move(images, transforms)
    assert (every - some).abs().max() < 1e-4
    assert torch.equal(some[still], images[still])


def test_draws_depend_on_what_they_are_for_alone() -> None:
    again = KeyedDraws(seed=3, step=7, batch=16, z_dim=4)
    assert torch.equal(DRAWS.latents("Gmain")[0], again.latents("Gmain")[0])
    different = [
        DRAWS.latents("Dmain")[0],
        KeyedDraws(seed=4, step=7, batch=16, z_dim=4).latents("Gmain")[0],
        KeyedDraws(seed=3, step=8, batch=16, z_dim=4).latents("Gmain")[0],
    ]
    for other in different:
        assert not torch.equal(DRAWS.latents("Gmain")[0], other)
    half = KeyedDraws(seed=3, step=7, batch=16, z_dim=4, rows=slice(8, 16))
    assert torch.equal(half.latents("Gmain")[0], DRAWS.latents("Gmain")[0][8:])


def test_grey_images_and_wrong_shapes() -> None:
    pipe = AugmentPipe()
    pipe.p.fill_(1)
    grey = pipe(torch.zeros(16, 1, 16, 16), DRAWS.augment("Dmain", "real"))
    assert grey.shape == (16, 1, 16, 16)
    with pytest.raises(ValueError, match=r"1 or 3"):
        pipe(torch.zeros(16, 2, 16, 16), DRAWS.augment("Dmain", "real"))
    with pytest.raises(ValueError, match="scale_std"):
        AugmentSettings(scale_std=-1)
