"""The alias-free nonlinearity of StyleGAN3: a leaky ReLU between an up- and a downsampling.

Source: arXiv 2106.12423, section 3.1 and figure 4. On a CPU, with separable filters, the whole
chain runs as one kernel that keeps a plane in cache (`filtered_lrelu_numba`); everything else goes
through `filtered_lrelu_torch`, which can be differentiated any number of times.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tagloom.errors import InvalidArgument
from tagloom.networks.ops.filtered_lrelu_numba import filtered_lrelu_numba, is_supported
from tagloom.networks.ops.upfirdn2d import parse_padding, upfirdn2d

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
    pads = parse_padding(padding)
    if _kernels_enabled() and is_supported(x, fu, fd, up=up, down=down):
        return filtered_lrelu_numba(
            x,
            fu,
            fd,
            b,
            up=up,
            down=down,
            padding=pads,
            gain=gain,
            slope=slope,
            clamp=clamp,
            flip_filter=flip_filter,
        )
    return filtered_lrelu_torch(
        x,
        fu,
        fd,
        b,
        up=up,
        down=down,
        padding=pads,
        gain=gain,
        slope=slope,
        clamp=clamp,
        flip_filter=flip_filter,
    )


def _kernels_enabled() -> bool:
    """TAGLOOM_KERNELS=torch switches compiled kernels off."""
    choice = os.environ.get("TAGLOOM_KERNELS", "auto")
    if choice not in ("auto", "torch"):
        raise InvalidArgument(
            f"TAGLOOM_KERNELS is {choice!r}; set it to auto or torch, or leave it out.",
            reason="KERNELS_UNKNOWN",
            kernels=choice,
        )
    return choice == "auto" and not torch.compiler.is_compiling()


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
