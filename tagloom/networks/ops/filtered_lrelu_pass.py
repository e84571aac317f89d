"""The pass of `filtered_lrelu_numba` over images, compiled by numba.

Sixteen channels of an image at a time: rows are read, upsampled, activated and downsampled while
they are in cache.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

from tagloom.networks.ops import simd
from tagloom.networks.ops.filtered_lrelu_geometry import Filters
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

__all__ = ["compiled_pass"]

_VECTORS_CRC = zlib.crc32(Path(simd.__file__).read_bytes())


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
def compiled_pass(replay: bool, filters: Filters) -> Callable[..., None]:
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

    return _compile(kernel)


def _compile(function: Callable[..., None]) -> Callable[..., None]:
    """By numba, and kept for later processes where there is a folder that can be written."""
    try:
        kept: Callable[..., None] = numba.njit(nogil=True, cache=True, error_model="numpy")(
            function
        )
    except RuntimeError:  # neither beside this file, nor in NUMBA_CACHE_DIR, nor in a home folder
        kept = numba.njit(nogil=True, error_model="numpy")(function)
    return kept
