"""The alias-free nonlinearity of StyleGAN3: a leaky ReLU between an up- and a downsampling.

Source: arXiv 2106.12423, section 3.1 and figure 4. On a CPU, with separable filters, the whole
chain runs as one kernel that keeps a plane in cache (`filtered_lrelu_numba`); everything else goes
through `filtered_lrelu_torch`, which can be differentiated any number of times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from tagloom.networks.ops.upfirdn2d import upfirdn2d

__all__ = ["filtered_lrelu", "filtered_lrelu_torch"]


def filtered_lrelu(
    x: Tensor,
    fu: Tensor | None = None,
    fd: Tensor | None = None,
    b: Tensor | None = None,
    *,
    up: int = 1,
    down: int = 1,
    padding: int | Sequence[int] = 0,
    gain: float = math.sqrt(2),
    slope: float = 0.2,
    clamp: float | None = None,
    flip_filter: bool = False,
) -> Tensor:
    """Add `b`, upsample with `fu`, gain * leaky ReLU, clamp, downsample with `fd`.

    x: [N, C, H, W].
    fu, fd: [taps] (separable) or [fh, fw]; None is the identity.
    b: [C] or None.
    padding: (x0, x1, y0, y1) with respect to the upsampled image; negative values crop.
    clamp: of the activation, at the high sampling rate.
    Returns [N, C, (H * up + y0 + y1 - (fu taps - 1) - (fd taps - 1) + down - 1) // down, ...].
    """
    return filtered_lrelu_torch(
        x,
        fu,
        fd,
        b,
        up=up,
        down=down,
        padding=padding,
        gain=gain,
        slope=slope,
        clamp=clamp,
        flip_filter=flip_filter,
    )


def filtered_lrelu_torch(
    x: Tensor,
    fu: Tensor | None = None,
    fd: Tensor | None = None,
    b: Tensor | None = None,
    *,
    up: int = 1,
    down: int = 1,
    padding: int | Sequence[int] = 0,
    gain: float = math.sqrt(2),
    slope: float = 0.2,
    clamp: float | None = None,
    flip_filter: bool = False,
) -> Tensor:
    """`filtered_lrelu` from torch's own operations: any device, dtype and filter."""
    if b is not None:
        x = x + b.to(x.dtype)[None, :, None, None]
    x = upfirdn2d(x, fu, up=up, padding=padding, gain=float(up**2), flip_filter=flip_filter)
    x = F.leaky_relu(x, slope)
    if gain != 1:
        x = x * gain
    if clamp is not None:
        x = x.clamp(-clamp, clamp)
    return upfirdn2d(x, fd, down=down, flip_filter=flip_filter)
