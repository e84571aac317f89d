"""The minibatch standard deviation, by which a discriminator sees variety."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["minibatch_std"]


def minibatch_std(x: Tensor, *, group_size: int | None, num_channels: int = 1) -> Tensor:
    """Append `num_channels` channels that hold the standard deviation over groups of samples.

    x: [N, C, H, W]; sample i belongs to group i modulo (N / group size).
    group_size: at most N; None: the whole batch. N must be a multiple of it.
    num_channels: into so many sets C is divided, one average for each.
    Returns [N, C + num_channels, H, W].
    Source: Karras et al. 2018 (arXiv 1710.10196), section 3.
    """
    n, c, h, w = x.shape
    group = n if group_size is None else min(group_size, n)
    if n % group:
        raise ValueError(f"a batch of {n} cannot be divided into groups of {group} samples")
    y = x.reshape(group, n // group, num_channels, c // num_channels, h, w)
    y = y - y.mean(dim=0)
    y = (y.square().mean(dim=0) + 1e-8).sqrt()  # [groups, sets, channels, h, w]
    y = y.mean(dim=(2, 3, 4))[:, :, None, None].repeat(group, 1, h, w)
    return torch.cat([x, y], dim=1)
