"""Where the samples of a filtered leaky ReLU lie: sizes and offsets of a pass over a plane.

A pass takes one plane up, activates it and takes it down again; the backward pass does the same
between the same high-rate samples in the other direction. See `filtered_lrelu_numba`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "Axis",
    "Bits",
    "Filters",
    "Geometry",
    "Pass",
    "filter_size",
    "output_size",
    "plan_geometry",
    "prepared_taps",
    "standard_taps",
]

# What StyleGAN3 uses. Shorter filters get zeros, so that few kernels are compiled.
TAPS_PER_FACTOR = 6


def prepared_taps(
    fu: Tensor | None, fd: Tensor | None, *, up: int, flip_filter: bool, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Both filters as kernels read them, float32; None is one tap of 1.

    The up filter is scaled to keep the signal's size, and convolves: sample k meets tap k - up * n.
    The down filter correlates: tap k meets sample k. `flip_filter` turns both meanings round.
    """
    one = torch.ones(1, device=device)
    up_taps = one if fu is None else fu.detach().to(torch.float32)
    up_taps = up_taps * float(up**up_taps.ndim)
    down_taps = one if fd is None else fd.detach().to(torch.float32)
    if flip_filter:
        up_taps = up_taps.flip(tuple(range(up_taps.ndim)))
    else:
        down_taps = down_taps.flip(tuple(range(down_taps.ndim)))
    return up_taps, down_taps


def filter_size(taps: Tensor) -> tuple[int, int]:
    """Taps along y and x of a filter [taps] or [rows, columns]."""
    return taps.shape[0], taps.shape[-1]


def output_size(
    h: int,
    w: int,
    up: int,
    down: int,
    up_size: tuple[int, int],
    down_size: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> tuple[int, int]:
    """Height and width of what an h x w plane becomes; padding (x0, x1, y0, y1).

    Raises ValueError if nothing is left of the plane.
    """
    x0, x1, y0, y1 = padding
    rest_y = h * up + y0 + y1 - (up_size[0] - 1) - down_size[0]
    rest_x = w * up + x0 + x1 - (up_size[1] - 1) - down_size[1]
    if rest_y < 0 or rest_x < 0:
        raise ValueError(f"a {h}x{w} image is too small for these filters and {padding=}")
    return rest_y // down + 1, rest_x // down + 1


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
    outs = output_size(h, w, up, down, up_given, down_given, padding)
    forward, backward = [], []
    for size, out, given, before in zip(
        (h, w), outs, up_given, (padding[2], padding[0]), strict=True
    ):
        # Forward, high-rate sample 0 is the first of which the up filter sees the padding whole.
        offset = given - 1 - before
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
