"""From a seed to a latent, and from a generator's output to pixels, as the field does it.

So a seed names the same picture in a snapshot's samples, in a score and in `tagloom generate`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["seed_latent", "to_pixels"]


def seed_latent(seed: int, z_dim: int) -> Tensor:
    """z [1, z_dim] of a seed from 0 to 2^32 - 1: float32, on the CPU.

    Drawn in float64 by `numpy.random.RandomState(seed)`, whatever the device, and then rounded.
    """
    return torch.from_numpy(np.random.RandomState(seed).randn(1, z_dim)).to(torch.float32)


def to_pixels(images: Tensor) -> Tensor:
    """uint8 of the same shape: x * 127.5 + 128, cut to 0..255, of images about [-1, 1].

    uint8 drops what is behind the point: with 128, half more than 127.5, that is to the nearest.
    """
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8)
