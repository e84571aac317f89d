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

import functools
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tagloom.networks.ops import simd
from tagloom.networks.ops.filtered_lrelu_geometry import (
    Filters,
    Geometry,
    Pass,
    filter_size,
    plan_geometry,
    prepared_taps,
    standard_taps,
)
from tagloom.networks.ops.simd import (
    LANES,
    add,
    fir,
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
_DTYPES = (torch.float32, torch.bfloat16)
_VECTORS_CRC = zlib.crc32(Path(simd.__file__).read_bytes())


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
    kernel = _kernel(replay, plan.filters)
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


# --- the kernel ----------------------------------------------------------------------------------


@numba.njit(nogil=True, error_model="numpy")
def _activate(value: Any, bits: Any, at: int, clamped_at: int, shape: Any) -> Any:
    """Leaky ReLU and clamp of a vector, whose slopes are recorded."""
    gain, slope, limit = shape
    zero = splat(np.float32(0))
    upper, lower = splat(limit), splat(-limit)
    positive = greater_bits(value, zero)
    value = multiply(value, select_bits(positive, splat(gain), splat(gain * slope)))
    bits[at] = positive
    bits[at + clamped_at] = greater_bits(value, upper) | greater_bits(lower, value)
    return maximum(minimum(value, upper), lower)


@numba.njit(nogil=True, error_model="numpy")
def _scale_as_recorded(value: Any, bits: Any, at: int, clamped_at: int, shape: Any) -> Any:
    """A vector times the slopes that were recorded."""
    gain, slope, _ = shape
    zero = splat(np.float32(0))
    slopes = select_bits(bits[at], splat(gain), splat(gain * slope))
    return multiply(value, select_bits(bits[at + clamped_at], zero, slopes))


@functools.cache
def _kernel(replay: bool, filters: Filters) -> Callable[..., None]:
    """The pass for these factors and numbers of taps, compiled when first called.

    replay: take slopes from the bits, instead of from the samples and recording them.
    The up filter's taps are in convolution order, the down filter's in correlation order.
    """
    up, down, up_taps, down_taps, up_radial, down_radial = filters
    row_taps = up_taps // up
    # numba keeps what it compiled by this module and by the values that `kernel` closes over: so it
    # closes over the other module's content too, and over no compiled function, which has another
    # identity in each process.
    vectors = _VECTORS_CRC

    def kernel(
        x: Any,
        bias: Any,
        up_filter: Any,
        down_filter: Any,
        out: Any,
        bits: Any,
        bits_step: int,
        y_axis: Any,
        x_axis: Any,
        ends: Any,
        bits_layout: Any,
        shape: Any,
        scratch: Any,
        first_plane: int,
        last_plane: int,
    ) -> None:
        if vectors < 0:
            return  # never
        height, out_height, high_height, y_offset, y_shift = y_axis
        width, out_width, high_width, x_offset, x_shift = x_axis
        bits_rows, bits_columns, margin = bits_layout
        tall_at, high_at, narrow_at, _ = ends
        channels = bias.size
        blocks = (channels + LANES - 1) // LANES
        first_row = y_offset // up - (row_taps - 1)
        first_column = x_offset // up - (row_taps - 1)
        row_size = high_at - tall_at
        high_size, narrow_size = high_width * LANES, out_width * LANES
        zero = splat(np.float32(0))
        down_coefficients = taps(down_filter, 0, 1, down_taps)

        for plane in range(first_plane, last_plane):
            image = plane // blocks
            channel = min((plane % blocks) * LANES, channels - LANES)
            offset = load(bias, channel)
            row = first_row  # the next to be read
            for k in range(high_height):
                # Rows of the input, as floats, up to the last that high-rate row k depends on.
                nearest = (k + y_offset) // up
                while row <= nearest:
                    slot = ((row - first_row) % row_taps) * row_size
                    again = slot + row_taps * row_size
                    if 0 <= row < height:
                        source = (image * height + row) * width * channels + channel
                        first = max(first_column, 0)
                        last = min(first_column + row_size // LANES, width)
                        for column in range(first, last):
                            value = add(load(x, source + column * channels), offset)
                            place = (column - first_column) * LANES
                            store(scratch, slot + place, value)
                            store(scratch, again + place, value)
                    else:
                        for place in range(0, row_size, LANES):
                            store(scratch, slot + place, zero)
                            store(scratch, again + place, zero)
                    row += 1

                # Up, and activated. Rows without bits hold zeros only: any bits do.
                newest = ((nearest - row_taps + 1 - first_row) % row_taps + row_taps - 1) * row_size
                tap_row = (k + y_offset) % up
                if not up_radial:
                    coefficients = taps(up_filter, tap_row, up, row_taps)
                    for place in range(0, row_size, LANES):
                        value = fir(scratch, newest + place, -row_size, coefficients)
                        store(scratch, tall_at + place, value)
                bits_row = min(max(k + y_shift, 0), bits_rows - 1)
                bits_at = plane * bits_step * bits_rows + bits_row
                bits_at = margin + bits_at * 2 * bits_columns + x_shift
                target = high_at
                if down_radial:
                    target += (k % down_taps) * high_size
                for phase in range(up):
                    tap = (phase + x_offset) % up
                    column = (phase + x_offset) // up - first_column
                    count = (high_width - phase + up - 1) // up
                    for part in range(row_taps if up_radial else 1):
                        if up_radial:
                            line = (tap_row + up * part) * up_taps + tap
                            coefficients = taps(up_filter, line, up, row_taps)
                            source = newest - part * row_size + column * LANES
                        else:
                            coefficients = taps(up_filter, tap, up, row_taps)
                            source = tall_at + column * LANES
                        for i in range(count):
                            sample = phase + i * up
                            place = target + sample * LANES
                            value = fir(scratch, source + i * LANES, -LANES, coefficients)
                            if up_radial and part > 0:
                                value = add(value, load(scratch, place))
                            if not up_radial or part == row_taps - 1:
                                at = bits_at + sample
                                if replay:
                                    value = _scale_as_recorded(value, bits, at, bits_columns, shape)
                                else:
                                    value = _activate(value, bits, at, bits_columns, shape)
                            store(scratch, place, value)
                            if down_radial:
                                store(scratch, place + down_taps * high_size, value)

                # Horizontally down.
                if not down_radial:
                    place = narrow_at + (k % down_taps) * narrow_size
                    for column in range(out_width):
                        source = high_at + column * down * LANES
                        value = fir(scratch, source, LANES, down_coefficients)
                        store(scratch, place + column * LANES, value)
                        again = place + down_taps * narrow_size
                        store(scratch, again + column * LANES, value)

                # Vertically down, whenever a row of the output is complete.
                oldest = k + 1 - down_taps
                if oldest < 0 or oldest % down:
                    continue
                target = (image * out_height + oldest // down) * out_width * channels + channel
                if down_radial:
                    for line in range(down_taps):
                        coefficients = taps(down_filter, line * down_taps, 1, down_taps)
                        source = high_at + (oldest % down_taps + line) * high_size
                        for column in range(out_width):
                            value = fir(
                                scratch, source + column * down * LANES, LANES, coefficients
                            )
                            place = narrow_at + column * LANES
                            if line > 0:
                                value = add(value, load(scratch, place))
                            if line < down_taps - 1:
                                store(scratch, place, value)
                            else:
                                store(out, target + column * channels, value)
                else:
                    source = narrow_at + (oldest % down_taps) * narrow_size
                    for column in range(out_width):
                        value = fir(
                            scratch, source + column * LANES, narrow_size, down_coefficients
                        )
                        store(out, target + column * channels, value)

    return _compiled(kernel)


def _compiled(function: Callable[..., None]) -> Callable[..., None]:
    """By numba, and kept for later processes where there is a folder that can be written."""
    try:
        kept: Callable[..., None] = numba.njit(nogil=True, cache=True, error_model="numpy")(
            function
        )
    except RuntimeError:  # neither beside this file, nor in NUMBA_CACHE_DIR, nor in a home folder
        kept = numba.njit(nogil=True, error_model="numpy")(function)
    return kept
