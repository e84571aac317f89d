"""Seeds and pixels as other StyleGAN programs have them."""

from __future__ import annotations

import numpy as np
import torch

from tagloom.networks.sampling import seed_latent, to_pixels


def test_a_seed_means_what_it_means_elsewhere() -> None:
    z = seed_latent(7, 5)
    assert (z.shape, z.dtype) == ((1, 5), torch.float32)
    # RandomState's stream is frozen (NEP 19): these numbers stay.
    expected = [1.690525703800356, -0.4659373705408328, 0.03282016378869064, 0.40751628299650783]
    torch.testing.assert_close(z[0, :4], torch.tensor(expected), rtol=0, atol=1e-7)
    assert torch.equal(z, torch.from_numpy(np.random.RandomState(7).randn(1, 5)).float())
    assert not torch.equal(z, seed_latent(8, 5))
    assert seed_latent(2**32 - 1, 2).isfinite().all()


def test_pixels_are_rounded_to_the_nearest_and_cut() -> None:
    steps = torch.arange(256, dtype=torch.float32)
    exact = steps / 127.5 - 1
    assert torch.equal(to_pixels(exact), steps.to(torch.uint8))
    for off in (-0.49, 0.49):
        assert torch.equal(
            to_pixels((steps + off).clamp(0, 255) / 127.5 - 1), steps.to(torch.uint8)
        )
    assert to_pixels(torch.tensor([-9.0, -1.0, 0.0, 1.0, 9.0])).tolist() == [0, 0, 128, 255, 255]
