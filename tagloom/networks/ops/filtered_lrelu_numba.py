"""`filtered_lrelu` on a CPU as one pass over each image, compiled by numba.

Sixteen channels of an image are upsampled, activated and downsampled row by row while they are in
cache; the upsampled image, four or sixteen times as large, never exists in memory, and what the
backward pass must know of it is kept as two bits a sample. Images lie channels-last, so a vector
is sixteen channels of one sample: every tap is one multiplication, whatever size, factor or offset.

The operation is linear but for the activation, and the activation's slope is piecewise constant: so
the gradient is the same pass with other taps and the bits in place of the activation, and the
gradient of that again. It can be differentiated any number of times. bfloat16 is widened when it is
read and rounded when it is written; all arithmetic is in float32.

Source of the operation: arXiv 2106.12423, section 3.1 and appendix D.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tagloom.networks.ops.filtered_lrelu_geometry import (
    Filters,
    Geometry,
    Pass,
    filter_size,
    plan_geometry,
    prepared_taps,
    standard_taps,
)
from tagloom.networks.ops.filtered_lrelu_pass import compiled_pass
from tagloom.networks.ops.simd import LANES
from tagloom.networks.ops.threads import run_in_ranges

__all__ = ["filtered_lrelu_numba", "is_supported"]

_FACTORS = (1, 2, 4)
_DTYPES = (torch.float32, torch.bfloat16)


def is_supported(x: Tensor, fu: Tensor | None, fd: Tensor | None, *, up: int, down: int) -> bool:
    """Whether `filtered_lrelu_numba` computes this: float32 or bfloat16 on a CPU, fixed filters."""
    return (
        x.device.type == "cpu"
        and x.dtype in _DTYPES
        and x.numel() > 0
        and up in _FACTORS
        and down in _FACTORS
        and not (fu is None and fd is None)
        and all(f is None or not f.requires_grad for f in (fu, fd))
    )


def filtered_lrelu_numba(
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    *,
    up: int,
    down: int,
    padding: tuple[int, int, int, int],
    gain: float,
    slope: float,
    clamp: float | None,
    flip_filter: bool = False,
) -> Tensor:
    """`tagloom.networks.ops.filtered_lrelu.filtered_lrelu` where `is_supported`.

    The result lies channels-last.
    """
    up_taps, down_taps = prepared_taps(fu, fd, up=up, flip_filter=flip_filter, device=x.device)
    up_given, down_given = filter_size(up_taps), filter_size(down_taps)
    up_taps, down_taps = standard_taps(up_taps, up), standard_taps(down_taps, down)
    filters = Filters(
        up, down, up_taps.shape[0], down_taps.shape[0], up_taps.ndim == 2, down_taps.ndim == 2
    )
    geometry = plan_geometry(x.shape[2], x.shape[3], filters, up_given, down_given, padding, LANES)
    shape = (float(gain), float(slope), float("inf") if clamp is None else float(clamp))
    channels = x.shape[1]
    bias = x.new_zeros(channels) if b is None else b
    missing = LANES - channels
    if missing > 0:
        x, bias = F.pad(x, [0, 0, 0, 0, 0, missing]), F.pad(bias, [0, missing])
    result: Tensor = _FilteredLeakyReLU.apply(
        x, bias, up_taps.reshape(-1).numpy(), down_taps.reshape(-1).numpy(), geometry, shape
    )
    return result[:, :channels] if missing > 0 else result


# --- differentiation -----------------------------------------------------------------------------

_Shape = tuple[float, float, float]  # gain, slope, clamp


class _FilteredLeakyReLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        bias: Tensor,
        up_taps: np.ndarray,
        down_taps: np.ndarray,
        geometry: Geometry,
        shape: _Shape,
    ) -> Tensor:
        wanted = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        planes = x.shape[0] * _blocks(x) if wanted else 1
        bits = np.empty(planes * geometry.bits.per_plane + 2 * geometry.bits.margin, np.uint16)
        ctx.rest = (bits, up_taps, down_taps, geometry, shape)
        step = 1 if wanted else 0  # unwanted bits overwrite each other: that is cheap
        plan = geometry.forward
        return _run(False, x, bias, bits, step, up_taps, down_taps, geometry, plan, shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        grad_x = _Replay.apply(grad, *ctx.rest, True)
        grad_bias = None
        if ctx.needs_input_grad[1]:
            grad_bias = grad_x.sum(dim=(0, 2, 3), dtype=torch.float32)
        return grad_x, grad_bias, None, None, None, None


class _Replay(torch.autograd.Function):
    """The pass linearised at the recorded bits, or its transpose: each is the other's gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        bits: np.ndarray,
        up_taps: np.ndarray,
        down_taps: np.ndarray,
        geometry: Geometry,
        shape: _Shape,
        transposed: bool,
    ) -> Tensor:
        ctx.rest = (bits, up_taps, down_taps, geometry, shape, not transposed)
        bias = torch.zeros(x.shape[1])
        if transposed:
            # The transpose of "convolve, …, correlate" is "convolve, …, correlate" the other way.
            up_taps, down_taps = down_taps, up_taps
        plan = geometry.backward if transposed else geometry.forward
        return _run(True, x, bias, bits, 1, up_taps, down_taps, geometry, plan, shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return (_Replay.apply(grad, *ctx.rest), *[None] * 6)


def _blocks(x: Tensor) -> int:
    """Sixteens of channels; the last may overlap the one before, and computes the same again."""
    return -(-x.shape[1] // LANES)


def _flat(x_NHWC: Tensor) -> np.ndarray:
    """The memory of a contiguous tensor; bfloat16 as uint16."""
    flat = x_NHWC.reshape(-1)
    if flat.dtype == torch.bfloat16:
        return flat.view(torch.int16).numpy().view(np.uint16)
    array: np.ndarray = flat.numpy()
    return array


def _run(
    replay: bool,
    x: Tensor,
    bias: Tensor,
    bits: np.ndarray,
    bits_step: int,
    up_taps: np.ndarray,
    down_taps: np.ndarray,
    geometry: Geometry,
    plan: Pass,
    shape: _Shape,
) -> Tensor:
    """One pass over all images, on torch's number of threads."""
    n, c = x.shape[:2]
    out = torch.empty(n, plan.y.out_size, plan.x.out_size, c, dtype=x.dtype)
    kernel = compiled_pass(replay, plan.filters)
    arguments = (
        _flat(x.detach().permute(0, 2, 3, 1).contiguous()),
        bias.detach().to(torch.float32).contiguous().numpy(),
        up_taps,
        down_taps,
        _flat(out),
        bits,
        bits_step,
        tuple(plan.y),
        tuple(plan.x),
        plan.scratch,
        tuple(geometry.bits),
        tuple(np.float32(value) for value in shape),
    )

    def planes(first: int, last: int) -> None:
        # Zeros, because samples beside the image are never written. A line of cache is a vector.
        scratch = np.zeros(plan.scratch[-1] + LANES, np.float32)
        aligned = (-(scratch.ctypes.data // scratch.itemsize)) % LANES
        kernel(*arguments, scratch[aligned:], first, last)

    run_in_ranges(planes, n * _blocks(x), plan.y.high_size * plan.x.high_size * LANES)
    return out.permute(0, 3, 1, 2)
