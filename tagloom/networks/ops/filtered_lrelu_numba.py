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
from dataclasses import dataclass
from typing import Any, Literal

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
    splat,
    store,
    taps,
)
from tagloom.networks.ops.threads import run_in_ranges

__all__ = ["filtered_lrelu_numba", "is_supported"]

_FACTORS = (1, 2, 4)
_Mode = Literal["activate", "record", "replay"]


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
    geometry = _geometry(h, w, up, down, up_taps.numel(), down_taps.numel(), padding)
    shape = (float(gain), float(slope), float("inf") if clamp is None else float(clamp))
    bias = x.new_zeros(x.shape[1]) if b is None else b
    result: Tensor = _FilteredLeakyReLU.apply(
        x, bias, up_taps.numpy(), down_taps.numpy(), geometry, shape
    )
    return result


# --- geometry ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis of a pass: up to the high rate, down again. All in samples."""

    size: int  # of the input
    out_size: int
    high_size: int  # high-rate samples that the output depends on
    offset: int  # sample k at the high rate meets the up filter's tap (k + offset) mod up first
    bits_shift: int  # sample k of this pass has the bits of sample k + bits_shift of the forward


@dataclass(frozen=True, slots=True)
class _Pass:
    up: int
    down: int
    up_taps: int
    down_taps: int
    y: _Axis
    x: _Axis


@dataclass(frozen=True, slots=True)
class _Geometry:
    forward: _Pass
    backward: _Pass
    words: int  # of 16 bits, in a line of one phase of the recorded bits
    margin: int  # words before the first sample


@functools.lru_cache(maxsize=256)
def _geometry(
    h: int,
    w: int,
    up: int,
    down: int,
    up_taps: int,
    down_taps: int,
    padding: tuple[int, int, int, int],
) -> _Geometry:
    forward_axes, backward_axes = [], []
    for size, before, after in ((h, padding[2], padding[3]), (w, padding[0], padding[1])):
        available = size * up + before + after - (up_taps - 1)
        out = (available - down_taps) // down + 1
        if available < down_taps:
            raise ValueError(f"a {h}x{w} image is too small for these filters and {padding=}")
        high = (out - 1) * down + down_taps
        forward_axes.append(_Axis(size, out, high, up_taps - 1 - before, 0))
        # Backwards the output is what is upsampled, and input sample n collects the high-rate
        # samples n * up + before - (up_taps - 1) and on.
        first = before - (up_taps - 1)
        backward_axes.append(_Axis(out, size, (size - 1) * up + up_taps, first, first))
    forward = _Pass(up, down, up_taps, down_taps, forward_axes[0], forward_axes[1])
    backward = _Pass(down, up, down_taps, up_taps, backward_axes[0], backward_axes[1])
    phases = max(up, down)
    shift = backward.x.bits_shift // phases
    margin = -(-max(0, -shift) // LANES)
    last = max(_padded(forward.x, phases), _padded(backward.x, phases) + max(0, shift + 1))
    return _Geometry(forward, backward, margin + -(-last // LANES) + 1, margin)


def _padded(axis: _Axis, phases: int) -> int:
    """Length of one phase of a high-rate line, in whole vectors."""
    length = -(-axis.high_size // phases)
    return -(-length // LANES) * LANES


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
        geometry: _Geometry,
        shape: _Shape,
    ) -> Tensor:
        needed = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        mode: _Mode = "record" if needed else "activate"
        out, bits = _run(mode, x, bias, up_taps, down_taps, geometry, False, shape, None)
        ctx.bits, ctx.rest = bits, (up_taps, down_taps, geometry, shape)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        grad_x = _Replay.apply(grad, ctx.bits, *ctx.rest, True)
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
        first, second = (down_taps, up_taps) if transposed else (up_taps, down_taps)
        out, _ = _run("replay", x, bias, first, second, geometry, transposed, shape, bits)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return (_Replay.apply(grad, *ctx.rest), *[None] * 6)


def _run(
    mode: _Mode,
    x: Tensor,
    bias: Tensor,
    up_taps: np.ndarray,
    down_taps: np.ndarray,
    geometry: _Geometry,
    transposed: bool,
    shape: _Shape,
    bits: np.ndarray | None,
) -> tuple[Tensor, np.ndarray]:
    """One pass over all planes, on torch's number of threads. Returns the result and the bits."""
    plan = geometry.backward if transposed else geometry.forward
    n, c = x.shape[:2]
    phases = max(plan.up, plan.down)
    out = torch.empty(n, c, plan.y.out_size, plan.x.out_size)
    if mode == "record":
        size = n * c * geometry.forward.y.high_size * phases * 2 * geometry.words
        bits = np.empty(size, np.uint16)
    elif bits is None:
        bits = np.empty(0, np.uint16)
    kernel = _kernel(plan.up, plan.down, plan.up_taps, plan.down_taps, mode)
    arguments = (
        x.detach().contiguous().reshape(-1).numpy(),
        bias.detach().contiguous().numpy(),
        up_taps,
        down_taps,
        out.reshape(-1).numpy(),
        bits,
        (plan.y.size, plan.y.out_size, plan.y.high_size, plan.y.offset, plan.y.bits_shift),
        (plan.x.size, plan.x.out_size, plan.x.high_size, plan.x.offset, plan.x.bits_shift),
        (geometry.forward.y.high_size, geometry.words, geometry.margin),
        tuple(np.float32(value) for value in shape),
    )
    samples = plan.y.high_size * plan.x.high_size
    run_in_ranges(lambda first, last: kernel(*arguments, first, last), n * c, samples)
    return out, bits


# --- the kernel ----------------------------------------------------------------------------------


@numba.njit(inline="always")
def _aligned(size: int) -> Any:
    """A zeroed float32 array and the position in it from which vectors are aligned."""
    array = np.zeros(size + LANES, np.float32)
    return array, (-(array.ctypes.data // 4)) % LANES


@functools.cache
def _kernel(up: int, down: int, up_taps: int, down_taps: int, mode: _Mode) -> Callable[..., None]:
    """The pass for these factors and numbers of taps, compiled when first called.

    The up filter's taps are in convolution order, the down filter's in correlation order.
    """
    phases = max(up, down)
    x_phases = phases // up  # input samples per step of one phase
    out_phases = phases // down
    taps_per_phase = -(-up_taps // up)
    taps_per_class = -(-taps_per_phase // x_phases)
    row_taps = taps_per_class * x_phases
    record = mode == "record"
    replay = mode == "replay"

    @numba.njit(nogil=True, cache=True)
    def kernel(
        x: Any,
        bias: Any,
        up_filter: Any,
        down_filter: Any,
        out: Any,
        bits: Any,
        y_axis: Any,
        x_axis: Any,
        bits_layout: Any,
        shape: Any,
        first_plane: int,
        last_plane: int,
    ) -> None:
        height, out_height, high_height, y_offset, y_shift = y_axis
        width, out_width, high_width, x_offset, x_shift = x_axis
        bits_rows, words, margin = bits_layout
        gain, slope, limit = shape
        positive_gain, negative_gain = splat(gain), splat(gain * slope)
        upper, lower, zero = splat(limit), splat(-limit), splat(np.float32(0))

        # Filters, padded with zeros to whole phases.
        up_padded = np.zeros(row_taps * up, np.float32)
        up_padded[:up_taps] = up_filter
        down_coefficients = taps(down_filter, 0, 1, down_taps)

        # Scratch lines, with room for what the vectors read beyond the ends.
        phase_size = (high_width + phases * LANES - 1) // (phases * LANES) * LANES
        row_size = phase_size * phases
        left = max(0, taps_per_class + 1 - (x_offset // up) // x_phases)
        reach = phase_size + ((phases - 1 + x_offset) // up) // x_phases + 2
        x_size = left + max(reach, -(-width // x_phases)) + 2 * LANES
        first_row = y_offset // up - (row_taps - 1)
        last_row = (high_height - 1 + y_offset) // up
        padded, padded_at = _aligned(x_size * x_phases)
        wide, wide_at = _aligned((last_row - first_row + 1) * row_size)
        high, high_at = _aligned(high_height * row_size)
        slack = phase_size + (down * out_phases + down_taps) // phases + LANES
        line, line_at = _aligned(slack * phases)
        out_line, out_at = _aligned(slack)

        for plane in range(first_plane, last_plane):
            offset = bias[plane % bias.size]
            # Horizontally up, row by row.
            for row in range(max(first_row, 0), min(last_row + 1, height)):
                source = (plane * height + row) * width
                if x_phases == 1:
                    for column in range(width):
                        padded[padded_at + left + column] = x[source + column] + offset
                else:
                    for column in range(width):
                        at = (column % x_phases) * x_size + left + column // x_phases
                        padded[padded_at + at] = x[source + column] + offset
                for phase in range(phases):
                    tap = (phase + x_offset) % up
                    nearest = (phase + x_offset) // up
                    target = wide_at + (row - first_row) * row_size + phase * phase_size
                    if x_phases == 1:
                        coefficients = taps(up_padded, tap, up, taps_per_class)
                        at = padded_at + left + nearest
                        for q in range(0, phase_size, LANES):
                            store(wide, target + q, fir(padded, at + q, -1, coefficients))
                    else:
                        # Every x_phases-th tap meets samples of the same input phase.
                        for part in range(x_phases):
                            step = up * x_phases
                            coefficients = taps(up_padded, tap + up * part, step, taps_per_class)
                            sample = nearest - part
                            at = padded_at + left + sample // x_phases
                            at += (sample % x_phases) * x_size
                            for q in range(0, phase_size, LANES):
                                value = fir(padded, at + q, -1, coefficients)
                                if part > 0:
                                    value = add(value, load(wide, target + q))
                                store(wide, target + q, value)

            done = 0  # high-rate rows computed so far
            for out_row in range(out_height):
                # Vertically up and activated, as far as this row of the output reaches.
                while done < out_row * down + down_taps:
                    tap = (done + y_offset) % up
                    coefficients = taps(up_padded, tap, up, row_taps)
                    source = wide_at + ((done + y_offset) // up - first_row) * row_size
                    target = high_at + done * row_size
                    bits_row = min(max(done + y_shift, 0), bits_rows - 1)
                    bits_at = (plane * bits_rows + bits_row) * phases * 2 * words
                    for phase in range(phases):
                        begin = phase * phase_size
                        if replay:
                            place = bits_at + ((phase + x_shift) % phases) * 2 * words + margin
                            skew = (phase + x_shift) // phases
                            place += skew // LANES
                            skew %= LANES
                        else:
                            place = bits_at + phase * 2 * words + margin
                        for q in range(0, phase_size, LANES):
                            value = fir(wide, source + begin + q, -row_size, coefficients)
                            at = place + q // LANES
                            if replay:
                                positive = np.uint16(
                                    (np.uint32(bits[at]) | np.uint32(bits[at + 1]) << 16) >> skew
                                )
                                at += words
                                clamped = np.uint16(
                                    (np.uint32(bits[at]) | np.uint32(bits[at + 1]) << 16) >> skew
                                )
                                slopes = select_bits(positive, positive_gain, negative_gain)
                                value = multiply(value, select_bits(clamped, zero, slopes))
                            else:
                                positive = greater_bits(value, zero)
                                slopes = select_bits(positive, positive_gain, negative_gain)
                                value = multiply(value, slopes)
                                if record:
                                    bits[at] = positive
                                    bits[at + words] = greater_bits(value, upper) | greater_bits(
                                        lower, value
                                    )
                                value = maximum(minimum(value, upper), lower)
                            store(high, target + begin + q, value)
                    done += 1

                # Vertically down: one line, phase by phase.
                source = high_at + out_row * down * row_size
                for phase in range(phases):
                    for q in range(0, phase_size, LANES):
                        at = source + phase * phase_size + q
                        value = fir(high, at, row_size, down_coefficients)
                        store(line, line_at + phase * slack + q, value)

                # Horizontally down.
                target = (plane * out_height + out_row) * out_width
                for out_phase in range(out_phases):
                    count = (out_width - out_phase + out_phases - 1) // out_phases
                    for q in range(0, count, LANES):
                        value = fir_phases(
                            line, line_at + q, slack, down * out_phase, phases, down_coefficients
                        )
                        store(out_line, out_at + q, value)
                    for q in range(count):
                        out[target + q * out_phases + out_phase] = out_line[out_at + q]

    compiled: Callable[..., None] = kernel
    return compiled
