"""Where the samples of a filtered leaky ReLU lie: sizes, offsets and scratch memory of a pass.

A pass takes one plane up, activates it and takes it down again; the backward pass does the same
between the same high-rate samples in the other direction. See `filtered_lrelu_numba`.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from tagloom.networks.ops.simd import LANES

__all__ = [
    "Axis",
    "Bits",
    "Geometry",
    "Layout",
    "Pass",
    "plan_geometry",
    "standard_taps",
    "taps_per_class",
]

# What StyleGAN3 uses. Shorter filters get zeros, so that few kernels are compiled.
TAPS_PER_FACTOR = 6


def standard_taps(filter_: Tensor, factor: int) -> Tensor:
    """`filter_` [taps], with zeros up to the usual number of taps for this factor."""
    missing = TAPS_PER_FACTOR * factor - filter_.numel()
    if factor == 1 or missing <= 0:
        return filter_.contiguous()
    return torch.cat([filter_, filter_.new_zeros(missing)])


class Axis(NamedTuple):
    """One axis of a pass: up to the high rate, down again. All in samples."""

    size: int  # of the input
    out_size: int
    high_size: int  # high-rate samples that the output depends on
    offset: int  # at the high rate, sample k meets the up filter's tap (k + offset) mod up first
    bits_shift: int  # sample k of this pass has the bits of sample k + bits_shift of the forward


class Layout(NamedTuple):
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


class Bits(NamedTuple):
    """Recorded bits: for each high-rate row, positive samples' and then clamped samples'."""

    rows: int
    phase_words: int
    margin: int  # words before the first, and after the last: shifted reads end in them


@dataclass(frozen=True, slots=True)
class Pass:
    up: int
    down: int
    up_taps: int
    down_taps: int
    y: Axis
    x: Axis
    layout: Layout


@dataclass(frozen=True, slots=True)
class Geometry:
    forward: Pass
    backward: Pass
    bits: Bits
    bits_per_plane: int  # words


@functools.lru_cache(maxsize=256)
def plan_geometry(
    h: int,
    w: int,
    up: int,
    down: int,
    up_taps: int,
    down_taps: int,
    taps_given: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> Geometry:
    """Both passes for an h x w plane; padding (x0, x1, y0, y1) of the upsampled plane.

    taps_given: before `standard_taps`; they fix the size of the output.
    Raises ValueError if nothing is left of the plane.
    """
    forward_axes, backward_axes = [], []
    for size, before, after in ((h, *padding[2:]), (w, *padding[:2])):
        available = size * up + before + after - (taps_given[0] - 1)
        out = (available - taps_given[1]) // down + 1
        if out < 1:
            raise ValueError(f"a {h}x{w} image is too small for these filters and {padding=}")
        # Forward, high-rate sample 0 is the first of which the up filter sees the padding whole.
        offset = taps_given[0] - 1 - before
        high = (out - 1) * down + down_taps
        forward_axes.append(Axis(size, out, high, offset, 0))
        # Backward, input sample n collects the high-rate samples n * up - offset and on.
        high = (size - 1) * up + up_taps
        backward_axes.append(Axis(out, size, high, -offset, -offset))
    forward = _pass(up, down, up_taps, down_taps, forward_axes[0], forward_axes[1])
    backward = _pass(down, up, down_taps, up_taps, backward_axes[0], backward_axes[1])
    phases = max(up, down)
    words = forward.layout.phase_size // LANES
    reach = abs(backward.x.bits_shift) // phases + 1 + backward.layout.phase_size
    bits = Bits(forward.y.high_size, words, -(-reach // LANES) + 1)
    return Geometry(forward, backward, bits, bits.rows * phases * 2 * words)


def _pass(up: int, down: int, up_taps: int, down_taps: int, y: Axis, x: Axis) -> Pass:
    phases = max(up, down)
    phase_size = _whole_vectors(-(-x.high_size // phases))
    row_size = phases * phase_size
    x_phases = phases // up
    row_taps = taps_per_class(up, up_taps, x_phases) * x_phases
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
    layout = Layout(phase_size, left, line_size, first_row, last_row, *ends)
    return Pass(up, down, up_taps, down_taps, y, x, layout)


def _whole_vectors(size: int) -> int:
    return -(-size // LANES) * LANES


def taps_per_class(up: int, up_taps: int, x_phases: int) -> int:
    """Taps of one up phase that meet the same phase of an input line; the last may be zeros."""
    per_phase = -(-up_taps // up)
    return -(-per_phase // x_phases)
