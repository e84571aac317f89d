"""The resampling operations straight from their definitions, slow and obvious.

Zeros are inserted, every high-rate sample is filtered, and what downsampling does not keep is
computed and thrown away. The yardstick of `tagloom.networks.ops`, for results and for speed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def upfirdn2d(
    x: Tensor,
    f: Tensor,
    *,
    up: tuple[int, int] = (1, 1),
    down: tuple[int, int] = (1, 1),
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Definition: arXiv 1912.04958, appendix B. Factors are (x, y), padding (x0, x1, y0, y1)."""
    n, c, h, w = x.shape
    stuffed = x.new_zeros(n, c, h, up[1], w, up[0])
    stuffed[:, :, :, 0, :, 0] = x
    x = F.pad(stuffed.reshape(n, c, h * up[1], w * up[0]), list(padding))
    f = f * gain ** (f.ndim / 2)
    if not flip_filter:
        f = f.flip(tuple(range(f.ndim)))
    kernels = [f] if f.ndim == 2 else [f[None, :], f[:, None]]
    for kernel in kernels:
        weight = kernel.to(x.dtype).expand(c, 1, *kernel.shape)
        x = F.conv2d(x, weight, groups=c)
    return x[:, :, :: down[1], :: down[0]]


def filtered_lrelu(
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    *,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    gain: float = math.sqrt(2),
    slope: float = 0.2,
    clamp: float | None = None,
    flip_filter: bool = False,
) -> Tensor:
    """Definition: arXiv 2106.12423, section 3.1."""
    one = torch.ones(1, 1, dtype=x.dtype)
    if b is not None:
        x = x + b[:, None, None]
    x = upfirdn2d(
        x,
        one if fu is None else fu,
        up=(up, up),
        padding=padding,
        flip_filter=flip_filter,
        gain=float(up**2),
    )
    x = torch.where(x > 0, x, x * slope) * gain
    if clamp is not None:
        x = x.clamp(-clamp, clamp)
    return upfirdn2d(x, one if fd is None else fd, down=(down, down), flip_filter=flip_filter)


def modulated_conv2d(
    x: Tensor, w: Tensor, s: Tensor, *, demodulate: bool = True, padding: int = 0
) -> Tensor:
    """A kernel of its own for each sample: arXiv 1912.04958, equations 1 to 3."""
    images = []
    for image, style in zip(x, s, strict=True):
        kernel = w * style[None, :, None, None]
        if demodulate:
            norm = (kernel.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
            kernel = kernel / norm
        images.append(F.conv2d(image[None], kernel, padding=padding))
    return torch.cat(images)
