"""Where the samples of a filtered leaky ReLU lie: sizes and offsets of a pass over a plane.

A pass takes one plane up, activates it and takes it down again; the backward pass does the same
between the same high-rate samples in the other direction. See `filtered_lrelu_numba`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

__all__ = ["Axis", "Bits", "Filters", "Geometry", "Pass", "plan_geometry", "standard_taps"]

# What StyleGAN3 uses. Shorter filters get zeros, so that few kernels are compiled.
TAPS_PER_FACTOR = 6


def standard_taps(filter_: Tensor, factor: int) -> Tensor:
    """`filter_` [taps] or [taps, taps], with zeros up to the usual number for this factor.

    At least up to whole multiples of the factor, and in both directions to the same number.
    """
    taps = -(-max(filter_.shape) // factor) * factor
    if factor > 1:
        taps = max(taps, TAPS_PER_FACTOR * factor)
    missing = [amount for size in filter_.shape[::-1] for amount in (0, taps - size)]
    return F.pad(filter_, missing).contiguous()


class Axis(NamedTuple):
    """One axis of a pass: up to the high rate, down again. All in samples."""

    size: int  # of the input
    out_size: int
    high_size: int  # high-rate samples that the output depends on
    offset: int  # at the high rate, sample k meets the up filter's tap (k + offset) mod up first
    bits_shift: int  # sample k of this pass has the bits of sample k + bits_shift of the forward


class Filters(NamedTuple):
    """Factors and filters of a pass; a kernel is compiled for each."""

    up: int
    down: int
    up_taps: int  # a multiple of up
    down_taps: int
    up_radial: bool  # [taps, taps] instead of [taps] for each axis in turn
    down_radial: bool

    def transposed(self) -> Filters:
        """Those of the pass that is this one's transpose."""
        return Filters(
            self.down, self.up, self.down_taps, self.up_taps, self.down_radial, self.up_radial
        )


class Bits(NamedTuple):
    """Recorded bits: for each row first the positive samples', then the clamped samples'."""

    rows: int
    columns: int  # words, one a sample: a bit a channel
    margin: int  # words before the first, and after the last: shifted reads end in them

    @property
    def per_plane(self) -> int:
        """Words of 16 channels of one image."""
        return self.rows * self.columns * 2


class Pass(NamedTuple):
    filters: Filters
    y: Axis
    x: Axis
    scratch: tuple[int, int, int, int]  # ends of: input rows, one tall row, high rows, narrow rows


@dataclass(frozen=True, slots=True)
class Geometry:
    forward: Pass
    backward: Pass
    bits: Bits


@functools.lru_cache(maxsize=256)
def plan_geometry(
    h: int,
    w: int,
    filters: Filters,
    up_given: tuple[int, int],
    down_given: tuple[int, int],
    padding: tuple[int, int, int, int],
    lanes: int,
) -> Geometry:
    """Both passes for an h x w plane; padding (x0, x1, y0, y1) of the upsampled plane.

    up_given, down_given: taps (y, x) before `standard_taps`; they fix the size of the output.
    lanes: channels of a plane.
    Raises ValueError if nothing is left of the plane.
    """
    up, down = filters.up, filters.down
    forward, backward = [], []
    for axis, (size, before, after) in enumerate(((h, *padding[2:]), (w, *padding[:2]))):
        available = size * up + before + after - (up_given[axis] - 1)
        out = (available - down_given[axis]) // down + 1
        if available < down_given[axis]:
            raise ValueError(f"a {h}x{w} image is too small for these filters and {padding=}")
        # Forward, high-rate sample 0 is the first of which the up filter sees the padding whole.
        offset = up_given[axis] - 1 - before
        high = (out - 1) * down + filters.down_taps
        forward.append(Axis(size, out, high, offset, 0))
        # Backward, input sample n collects the high-rate samples n * up - offset and on.
        high = (size - 1) * up + filters.up_taps
        backward.append(Axis(out, size, high, -offset, -offset))
    there = _pass(filters, forward[0], forward[1], lanes)
    back = _pass(filters.transposed(), backward[0], backward[1], lanes)
    margin = abs(back.x.bits_shift) + back.x.high_size
    return Geometry(there, back, Bits(there.y.high_size, there.x.high_size, margin))


def _pass(filters: Filters, y: Axis, x: Axis, lanes: int) -> Pass:
    row_taps = filters.up_taps // filters.up
    columns = (x.high_size - 1 + x.offset) // filters.up - x.offset // filters.up + row_taps
    # Rings are twice as long as their contents: each row is written twice, so that any window of
    # consecutive rows is consecutive in memory.
    sizes = [
        2 * row_taps * columns,
        columns,
        x.high_size * (2 * filters.down_taps if filters.down_radial else 1),
        x.out_size * (1 if filters.down_radial else 2 * filters.down_taps),
    ]
    ends = [sum(sizes[: index + 1]) * lanes for index in range(4)]
    return Pass(filters, y, x, (ends[0], ends[1], ends[2], ends[3]))
