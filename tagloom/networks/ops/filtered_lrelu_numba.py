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
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor

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
    up_taps, down_taps = _standard_taps(up_taps, up), _standard_taps(down_taps, down)
    geometry = _geometry(h, w, up, down, up_taps.numel(), down_taps.numel(), taps_given, padding)
    shape = (float(gain), float(slope), float("inf") if clamp is None else float(clamp))
    bias = x.new_zeros(x.shape[1]) if b is None else b
    result: Tensor = _FilteredLeakyReLU.apply(
        x, bias, up_taps.numpy(), down_taps.numpy(), geometry, shape
    )
    return result


# --- geometry ------------------------------------------------------------------------------------

# What StyleGAN3 uses. Shorter filters get zeros, so that few kernels are compiled.
_TAPS_PER_FACTOR = 6


def _standard_taps(filter_: Tensor, factor: int) -> Tensor:
    missing = _TAPS_PER_FACTOR * factor - filter_.numel()
    if factor == 1 or missing <= 0:
        return filter_.contiguous()
    return torch.cat([filter_, filter_.new_zeros(missing)])


class _Axis(NamedTuple):
    """One axis of a pass: up to the high rate, down again. All in samples."""

    size: int  # of the input
    out_size: int
    high_size: int  # high-rate samples that the output depends on
    offset: int  # at the high rate, sample k meets the up filter's tap (k + offset) mod up first
    bits_shift: int  # sample k of this pass has the bits of sample k + bits_shift of the forward


class _Layout(NamedTuple):
    """Where lines and rows lie in scratch memory, in float32 or, for bits, 16-bit words."""

    phase_size: int  # one phase of a high-rate line, whole vectors
    left: int  # zeros before an input line
    line_size: int  # of one phase of an input line, zeros included
    first_row: int  # input rows first_row … last_row are upsampled; those outside are zeros
    last_row: int
    wide_at: int
    high_at: int
    narrow_at: int
    out_at: int
    total: int


class _Bits(NamedTuple):
    """Recorded bits: for each high-rate row, positive samples' and then clamped samples'."""

    rows: int
    phase_words: int
    margin: int  # words before the first, and after the last: shifted reads end in them


@dataclass(frozen=True, slots=True)
class _Pass:
    up: int
    down: int
    up_taps: int
    down_taps: int
    y: _Axis
    x: _Axis
    layout: _Layout


@dataclass(frozen=True, slots=True)
class _Geometry:
    forward: _Pass
    backward: _Pass
    bits: _Bits
    bits_per_plane: int  # words


@functools.lru_cache(maxsize=256)
def _geometry(
    h: int,
    w: int,
    up: int,
    down: int,
    up_taps: int,
    down_taps: int,
    taps_given: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> _Geometry:
    """taps_given: before `_standard_taps`; they fix the size of the output."""
    forward_axes, backward_axes = [], []
    for size, before, after in ((h, *padding[2:]), (w, *padding[:2])):
        available = size * up + before + after - (taps_given[0] - 1)
        out = (available - taps_given[1]) // down + 1
        if out < 1:
            raise ValueError(f"a {h}x{w} image is too small for these filters and {padding=}")
        # Forward, high-rate sample 0 is the first of which the up filter sees the padding whole.
        offset = taps_given[0] - 1 - before
        high = (out - 1) * down + down_taps
        forward_axes.append(_Axis(size, out, high, offset, 0))
        # Backward, input sample n collects the high-rate samples n * up - offset and on.
        high = (size - 1) * up + up_taps
        backward_axes.append(_Axis(out, size, high, -offset, -offset))
    forward = _pass(up, down, up_taps, down_taps, forward_axes[0], forward_axes[1])
    backward = _pass(down, up, down_taps, up_taps, backward_axes[0], backward_axes[1])
    phases = max(up, down)
    words = forward.layout.phase_size // LANES
    reach = abs(backward.x.bits_shift) // phases + 1 + backward.layout.phase_size
    bits = _Bits(forward.y.high_size, words, -(-reach // LANES) + 1)
    return _Geometry(forward, backward, bits, bits.rows * phases * 2 * words)


def _pass(up: int, down: int, up_taps: int, down_taps: int, y: _Axis, x: _Axis) -> _Pass:
    phases = max(up, down)
    phase_size = _whole_vectors(-(-x.high_size // phases))
    row_size = phases * phase_size
    x_phases = phases // up
    row_taps = _taps_per_class(up, up_taps, x_phases) * x_phases
    left = max(0, row_taps // x_phases + 1 - (x.offset // up) // x_phases)
    reach = phase_size + ((phases - 1 + x.offset) // up) // x_phases + 2
    line_size = left + max(reach, -(-x.size // x_phases)) + 2 * LANES
    first_row = y.offset // up - (row_taps - 1)
    last_row = (y.high_size - 1 + y.offset) // up
    sizes = [
        line_size * x_phases,
        (last_row - first_row + 1) * row_size,  # upsampled horizontally
        y.high_size * row_size,  # activated
        row_size + down_taps + 2 * LANES,  # one line downsampled vertically
        phase_size + 2 * LANES,  # and horizontally
    ]
    ends = list(itertools.accumulate(_whole_vectors(size) for size in sizes))
    layout = _Layout(phase_size, left, line_size, first_row, last_row, *ends)
    return _Pass(up, down, up_taps, down_taps, y, x, layout)


def _whole_vectors(size: int) -> int:
    return -(-size // LANES) * LANES


def _taps_per_class(up: int, up_taps: int, x_phases: int) -> int:
    """Taps of one up phase that meet the same phase of an input line; the last may be zeros."""
    per_phase = -(-up_taps // up)
    return -(-per_phase // x_phases)


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
        geometry: _Geometry,
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
        geometry: _Geometry,
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
    geometry: _Geometry,
    plan: _Pass,
    shape: _Shape,
) -> Tensor:
    """One pass over all planes, on torch's number of threads."""
    n, c = x.shape[:2]
    out = torch.empty(n, c, plan.y.out_size, plan.x.out_size)
    kernel = _kernel(plan.up, plan.down, plan.up_taps, plan.down_taps)
    # Convolution order, and zeros up to whole classes of taps.
    x_phases = max(plan.up, plan.down) // plan.up
    count = _taps_per_class(plan.up, plan.up_taps, x_phases) * x_phases * plan.up
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
    class_taps = _taps_per_class(up, up_taps, x_phases)
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
