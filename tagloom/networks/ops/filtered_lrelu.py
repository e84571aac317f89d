"""The alias-free nonlinearity of StyleGAN3: a leaky ReLU between an up- and a downsampling.

Source: arXiv 2106.12423, section 3.1 and figure 4. The whole chain runs as one kernel, in cache: on
a CPU `filtered_lrelu_numba`, on a GPU `filtered_lrelu_triton`. Where there is none, and for other
types, `filtered_lrelu_torch` computes the same. All can be differentiated any number of times.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tagloom.errors import InvalidArgument
from tagloom.networks.ops.upfirdn2d import parse_padding, upfirdn2d

__all__ = ["filtered_lrelu", "filtered_lrelu_torch", "kernel_for"]


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
    kernel = kernel_for(x.device)
    taken = x.numel() > 0 and (fu is not None or fd is not None)
    if taken and x.device.type == "cpu" and kernel is not filtered_lrelu_torch:
        from tagloom.networks.ops.filtered_lrelu_numba import is_supported

        taken = is_supported(x, fu, fd, up=up, down=down)
    if not taken:
        kernel = filtered_lrelu_torch
    return kernel(
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


def kernel_for(device: torch.device) -> Callable[..., Tensor]:
    """The path that `filtered_lrelu` takes on the device now, where it takes what it is given.

    The first call for a GPU compiles a kernel, to know that it can.
    Raises InvalidArgument (KERNELS_UNKNOWN) if TAGLOOM_KERNELS says something unknown.
    """
    if not _kernels_enabled():
        return filtered_lrelu_torch
    if device.type == "cpu":
        return _cpu_kernel()
    return _gpu_kernel(device) if device.type == "cuda" else filtered_lrelu_torch


@functools.cache
def _cpu_kernel() -> Callable[..., Tensor]:
    """numba's kernel where numba is installed, the plain path elsewhere."""
    try:
        from tagloom.networks.ops.filtered_lrelu_numba import filtered_lrelu_numba
    except ImportError:
        return filtered_lrelu_torch
    return filtered_lrelu_numba


@functools.cache
def _gpu_kernel(device: torch.device) -> Callable[..., Tensor]:
    """Triton's kernel where it can be compiled, the plain path elsewhere."""
    try:
        from tagloom.networks.ops.filtered_lrelu_triton import filtered_lrelu_triton, triton_works
    except ImportError:
        return filtered_lrelu_torch
    return filtered_lrelu_triton if triton_works(device) else filtered_lrelu_torch


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
