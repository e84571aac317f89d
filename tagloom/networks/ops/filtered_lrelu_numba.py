"""`filtered_lrelu` on a CPU as one pass over each plane, compiled by numba.

A plane is upsampled, activated and downsampled while it is in cache; the upsampled image, four or
sixteen times as large, never exists in memory, and what the backward pass must know of it is kept
as two bits a sample. Its lines are stored phase by phase (sample k in phase k mod P), so that both
resamplings read and write whole vectors at unit stride.

The operation is linear but for the activation, and the activation's slope is piecewise constant: so
the gradient is the same pass with other taps and the bits in place of the activation, and the
gradient of that again. It can be differentiated any number of times.

Source of the operation: arXiv 2106.12423, section 3.1 and appendix D.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from tagloom.networks.ops.filtered_lrelu_geometry import (
    Geometry,
    Pass,
    plan_geometry,
    standard_taps,
    taps_per_class,
)
from tagloom.networks.ops.simd import (
    LANES,
    add,
    fir,
    fir_phases,
    greater_bits,
    load,
    maximum,
    minimum,
    multiply,
    select_bits,
    shifted_bits,
    splat,
    store,
    taps,
)
from tagloom.networks.ops.threads import run_in_ranges

__all__ = ["filtered_lrelu_numba", "is_supported"]

_FACTORS = (1, 2, 4)


def is_supported(x: Tensor, fu: Tensor | None, fd: Tensor | None, *, up: int, down: int) -> bool:
    """Whether `filtered_lrelu_numba` computes this: float32 on a CPU, separable filters."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.numel() > 0
        and up in _FACTORS
        and down in _FACTORS
        and not (fu is None and fd is None)
        and all(f is None or (f.ndim == 1 and not f.requires_grad) for f in (fu, fd))
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
    """`tagloom.networks.ops.filtered_lrelu.filtered_lrelu` where `is_supported`."""
    one = torch.ones(1)
    # As correlations: the taps in the order in which they meet the samples.
    up_taps = (one if fu is None else fu.detach()) * up
    down_taps = one if fd is None else fd.detach()
    if flip_filter:
        up_taps = up_taps.flip(0)
    else:
        down_taps = down_taps.flip(0)
    h, w = x.shape[2:]
    taps_given = (up_taps.numel(), down_taps.numel())
    up_taps, down_taps = standard_taps(up_taps, up), standard_taps(down_taps, down)
    geometry = plan_geometry(
        h, w, up, down, up_taps.numel(), down_taps.numel(), taps_given, padding
    )
    shape = (float(gain), float(slope), float("inf") if clamp is None else float(clamp))
    bias = x.new_zeros(x.shape[1]) if b is None else b
    result: Tensor = _FilteredLeakyReLU.apply(
        x, bias, up_taps.numpy(), down_taps.numpy(), geometry, shape
    )
    return result


# --- differentiation -----------------------------------------------------------------------------

_Shape = tuple[float, float, float]  # gain, slope, clamp
_ACTIVATE, _RECORD, _REPLAY = 0, 1, 2


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
        if ctx.needs_input_grad[0] or ctx.needs_input_grad[1]:
            mode = _RECORD
            words = x.shape[0] * x.shape[1] * geometry.bits_per_plane + 2 * geometry.bits.margin
            bits = np.empty(words, np.uint16)
        else:
            mode, bits = _ACTIVATE, np.empty(0, np.uint16)
        ctx.rest = (bits, up_taps, down_taps, geometry, shape)
        return _run(mode, x, bias, bits, up_taps, down_taps, geometry, geometry.forward, shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        grad_x = _Replay.apply(grad, *ctx.rest, True)
        grad_bias = grad_x.sum(dim=(0, 2, 3)) if ctx.needs_input_grad[1] else None
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
        return _run(_REPLAY, x, bias, bits, up_taps, down_taps, geometry, plan, shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return (_Replay.apply(grad, *ctx.rest), *[None] * 6)


def _run(
    mode: int,
    x: Tensor,
    bias: Tensor,
    bits: np.ndarray,
    up_taps: np.ndarray,
    down_taps: np.ndarray,
    geometry: Geometry,
    plan: Pass,
    shape: _Shape,
) -> Tensor:
    """One pass over all planes, on torch's number of threads."""
    n, c = x.shape[:2]
    out = torch.empty(n, c, plan.y.out_size, plan.x.out_size)
    kernel = _kernel(plan.up, plan.down, plan.up_taps, plan.down_taps)
    # Convolution order, and zeros up to whole classes of taps.
    x_phases = max(plan.up, plan.down) // plan.up
    count = taps_per_class(plan.up, plan.up_taps, x_phases) * x_phases * plan.up
    up_filter = np.zeros(count, np.float32)
    up_filter[: up_taps.size] = up_taps
    arguments = (
        mode,
        x.detach().contiguous().reshape(-1).numpy(),
        bias.detach().contiguous().numpy(),
        up_filter,
        down_taps,
        out.reshape(-1).numpy(),
        bits,
        tuple(plan.y),
        tuple(plan.x),
        tuple(plan.layout),
        tuple(geometry.bits),
        tuple(np.float32(value) for value in shape),
    )

    def planes(first: int, last: int) -> None:
        scratch = np.zeros(plan.layout.total + LANES, np.float32)
        aligned = (-(scratch.ctypes.data // scratch.itemsize)) % LANES
        kernel(*arguments, scratch[aligned:], first, last)

    run_in_ranges(planes, n * c, plan.y.high_size * plan.x.high_size)
    return out


# --- the kernel ----------------------------------------------------------------------------------


@functools.cache
def _kernel(up: int, down: int, up_taps: int, down_taps: int) -> Callable[..., None]:
    """The pass for these factors and numbers of taps, compiled when first called.

    The up filter's taps are in convolution order, the down filter's in correlation order.
    """
    phases = max(up, down)
    x_phases = phases // up  # input samples per step of one phase
    out_phases = phases // down
    class_taps = taps_per_class(up, up_taps, x_phases)
    row_taps = class_taps * x_phases

    @numba.njit(nogil=True, cache=True, error_model="numpy")
    def kernel(
        mode: int,
        x: Any,
        bias: Any,
        up_filter: Any,
        down_filter: Any,
        out: Any,
        bits: Any,
        y_axis: Any,
        x_axis: Any,
        layout: Any,
        bits_layout: Any,
        shape: Any,
        scratch: Any,
        first_plane: int,
        last_plane: int,
    ) -> None:
        height, out_height, _, y_offset, y_shift = y_axis
        width, out_width, _, x_offset, x_shift = x_axis
        phase_size, left, line_size, first_row, last_row = layout[:5]
        wide_at, high_at, narrow_at, out_at, _ = layout[5:]
        bits_rows, phase_words, margin = bits_layout
        gain, slope, limit = shape
        positive_gain, negative_gain = splat(gain), splat(gain * slope)
        upper, lower, zero = splat(limit), splat(-limit), splat(np.float32(0))
        down_coefficients = taps(down_filter, 0, 1, down_taps)
        row_size = phase_size * phases
        # Replaying, each phase has its own place among the bits; otherwise a row is one stretch.
        stretches = phases if mode == _REPLAY else 1
        stretch = row_size // stretches

        for plane in range(first_plane, last_plane):
            offset = bias[plane % bias.size]
            # Horizontally up, row by row.
            for row in range(max(first_row, 0), min(last_row + 1, height)):
                source = (plane * height + row) * width
                for phase in range(x_phases):
                    at = phase * line_size + left
                    for column in range((width - phase + x_phases - 1) // x_phases):
                        scratch[at + column] = x[source + column * x_phases + phase] + offset
                for phase in range(phases):
                    tap = (phase + x_offset) % up
                    nearest = (phase + x_offset) // up
                    target = wide_at + (row - first_row) * row_size + phase * phase_size
                    for part in range(x_phases):
                        # Every x_phases-th tap meets samples of the same phase of the input.
                        coefficients = taps(up_filter, tap + up * part, up * x_phases, class_taps)
                        sample = nearest - part
                        at = (sample % x_phases) * line_size + left + sample // x_phases
                        for q in range(0, phase_size, LANES):
                            value = fir(scratch, at + q, -1, coefficients)
                            if part > 0:
                                value = add(value, load(scratch, target + q))
                            store(scratch, target + q, value)

            done = 0  # high-rate rows computed so far
            for out_row in range(out_height):
                # Vertically up and activated, as far as this row of the output reaches.
                while done < out_row * down + down_taps:
                    coefficients = taps(up_filter, (done + y_offset) % up, up, row_taps)
                    source = wide_at + ((done + y_offset) // up - first_row) * row_size
                    target = high_at + done * row_size
                    # Rows without bits hold zeros only: any bits do.
                    bits_row = min(max(done + y_shift, 0), bits_rows - 1)
                    positive_at = margin + (plane * bits_rows + bits_row) * phases * 2 * phase_words
                    clamped_at = phases * phase_words  # relative to the former
                    for part in range(stretches):
                        begin = part * stretch
                        skew = 0
                        place = positive_at
                        if mode == _REPLAY:
                            place += ((part + x_shift) % phases) * phase_words
                            skew = (part + x_shift) // phases
                            place += skew // LANES
                            skew %= LANES
                        for q in range(0, stretch, LANES):
                            value = fir(scratch, source + begin + q, -row_size, coefficients)
                            at = place + q // LANES
                            if mode == _REPLAY:
                                positive = shifted_bits(bits, at, skew)
                                clamped = shifted_bits(bits, at + clamped_at, skew)
                                slopes = select_bits(positive, positive_gain, negative_gain)
                                value = multiply(value, select_bits(clamped, zero, slopes))
                            else:
                                positive = greater_bits(value, zero)
                                slopes = select_bits(positive, positive_gain, negative_gain)
                                value = multiply(value, slopes)
                                if mode == _RECORD:
                                    above = greater_bits(value, upper)
                                    below = greater_bits(lower, value)
                                    bits[at] = positive
                                    bits[at + clamped_at] = above | below
                                value = maximum(minimum(value, upper), lower)
                            store(scratch, target + begin + q, value)
                    done += 1

                # Vertically, then horizontally down.
                source = high_at + out_row * down * row_size
                for q in range(0, row_size, LANES):
                    value = fir(scratch, source + q, row_size, down_coefficients)
                    store(scratch, narrow_at + q, value)
                target = (plane * out_height + out_row) * out_width
                for phase in range(out_phases):
                    first = down * phase
                    count = (out_width - phase + out_phases - 1) // out_phases
                    for q in range(0, count, LANES):
                        value = fir_phases(
                            scratch, narrow_at + q, phase_size, first, phases, down_coefficients
                        )
                        store(scratch, out_at + q, value)
                    for q in range(count):
                        out[target + q * out_phases + phase] = scratch[out_at + q]

    compiled: Callable[..., None] = kernel
    return compiled
