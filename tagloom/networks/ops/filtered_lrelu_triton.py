"""`filtered_lrelu` as one Triton kernel, for GPUs.

Each program makes one tile of the output from the tile of the input that it depends on. Resampling
along an axis is a product with a banded matrix made from the taps, so that the whole chain is
matrix products in shared memory; the upsampled image never reaches the GPU's memory. For the
backward pass the input is kept and upsampled again, which costs less memory than its bits would.

The gradient is the same kernel with the filters' roles exchanged, and so is the gradient of that:
it can be differentiated any number of times. Tensors are read as they lie, whatever their strides;
results and gradients lie as the input does, channels-last where it is. Source: arXiv 2106.12423,
section 3.1 and appendix D.

Exact against the definition under Triton's interpreter (TRITON_INTERPRET=1, on a CPU). Its speed
has been measured on no GPU yet.
"""

# Triton has no types, and the arguments of its kernels are values of its own language.
# mypy: disable-error-code="import-untyped, no-untyped-def, untyped-decorator"

from __future__ import annotations

import functools
import logging
import math
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from tagloom.networks.ops.filtered_lrelu_geometry import filter_size, output_size, prepared_taps

__all__ = ["filtered_lrelu_triton", "triton_works"]

_log = logging.getLogger(__name__)
_jit: Any = triton.jit
_HIGH_TILE = 64  # high-rate samples a side


@_jit
def _upsampled(
    image,  # its plane's first sample
    stride_y,
    stride_x,
    height,
    width,
    taps,
    start_y,  # of the tile at the high rate, the filter's offset added
    start_x,
    bias,
    FACTOR: tl.constexpr,
    TAPS_Y: tl.constexpr,
    TAPS_X: tl.constexpr,
    RADIAL: tl.constexpr,
    HIGH: tl.constexpr,
    LOW: tl.constexpr,
):
    """[HIGH, HIGH] samples of a plane at the high rate; outside the plane are zeros."""
    # Integer division rounds towards zero on a GPU: keep it away from negative numbers.
    far = 1 << 20
    first_y = (start_y + far * FACTOR) // FACTOR - far - ((TAPS_Y + FACTOR - 1) // FACTOR - 1)
    first_x = (start_x + far * FACTOR) // FACTOR - far - ((TAPS_X + FACTOR - 1) // FACTOR - 1)
    rows = first_y + tl.arange(0, LOW)
    columns = first_x + tl.arange(0, LOW)
    inside = ((rows >= 0) & (rows < height))[:, None]
    inside = inside & ((columns >= 0) & (columns < width))[None, :]
    places = rows[:, None] * stride_y + columns[None, :] * stride_x
    x = tl.load(image + places, mask=inside, other=0.0).to(tl.float32)
    x = tl.where(inside, x + bias, 0.0)
    high = tl.arange(0, HIGH)
    tap_y = (start_y + high)[:, None] - FACTOR * rows[None, :]
    tap_x = (start_x + high)[:, None] - FACTOR * columns[None, :]
    if RADIAL:
        result = tl.zeros([HIGH, HIGH], tl.float32)
        for tap in range(TAPS_Y):
            chosen = (tap_y == tap).to(tl.float32)
            known = (tap_x >= 0) & (tap_x < TAPS_X)
            across = tl.load(taps + tap * TAPS_X + tap_x, mask=known, other=0.0)
            tall = tl.dot(chosen, x, input_precision="ieee")
            result += tl.dot(tall, tl.trans(across), input_precision="ieee")
    else:
        along = tl.load(taps + tap_y, mask=(tap_y >= 0) & (tap_y < TAPS_Y), other=0.0)
        across = tl.load(taps + tap_x, mask=(tap_x >= 0) & (tap_x < TAPS_X), other=0.0)
        tall = tl.dot(along, x, input_precision="ieee")
        result = tl.dot(tall, tl.trans(across), input_precision="ieee")
    return result


@_jit
def _kernel(
    v,  # resampled
    x,  # decides the slopes
    bias,
    out,
    up_filter,
    down_filter,
    x_filter,
    channels,
    v_height,
    v_width,
    v_n,  # strides
    v_c,
    v_row,
    v_column,
    x_height,
    x_width,
    x_n,
    x_c,
    x_row,
    x_column,
    out_height,
    out_width,
    out_n,
    out_c,
    out_row,
    out_column,
    tiles_x,
    up_y,
    up_x,
    x_y,  # high-rate sample 0 of this pass meets x's filter here
    x_x,
    gain,
    slope,
    clamp,
    UP: tl.constexpr,
    UP_TAPS_Y: tl.constexpr,
    UP_TAPS_X: tl.constexpr,
    UP_RADIAL: tl.constexpr,
    DOWN: tl.constexpr,
    DOWN_TAPS_Y: tl.constexpr,
    DOWN_TAPS_X: tl.constexpr,
    DOWN_RADIAL: tl.constexpr,
    X_UP: tl.constexpr,
    X_TAPS_Y: tl.constexpr,
    X_TAPS_X: tl.constexpr,
    X_RADIAL: tl.constexpr,
    REPLAY: tl.constexpr,
    TILE_Y: tl.constexpr,
    TILE_X: tl.constexpr,
    HIGH: tl.constexpr,
    LOW: tl.constexpr,
    X_LOW: tl.constexpr,
    ROOM: tl.constexpr,  # a power of two that holds a tile of the output
):
    # Channels first: where they lie beside each other, programs that run together read them all.
    sample = (tl.program_id(0) // channels).to(tl.int64)
    channel = (tl.program_id(0) % channels).to(tl.int64)
    first_y = (tl.program_id(1) // tiles_x) * TILE_Y
    first_x = (tl.program_id(1) % tiles_x) * TILE_X
    start_y, start_x = first_y * DOWN, first_x * DOWN
    offset = tl.load(bias + channel)
    high_x = _upsampled(
        x + sample * x_n + channel * x_c, x_row, x_column, x_height, x_width,
        x_filter, start_y + x_y, start_x + x_x, offset,
        X_UP, X_TAPS_Y, X_TAPS_X, X_RADIAL, HIGH, X_LOW,
    )  # fmt: skip
    scaled = tl.where(high_x > 0, high_x * gain, high_x * (gain * slope))
    if REPLAY:
        high_v = _upsampled(
            v + sample * v_n + channel * v_c, v_row, v_column, v_height, v_width,
            up_filter, start_y + up_y, start_x + up_x, 0.0,
            UP, UP_TAPS_Y, UP_TAPS_X, UP_RADIAL, HIGH, LOW,
        )  # fmt: skip
        slopes = tl.where(high_x > 0, gain, gain * slope)
        active = tl.where(tl.abs(scaled) > clamp, 0.0, high_v * slopes)
    else:
        # Comparisons are false for NaN, which therefore stays.
        active = tl.where(scaled > clamp, clamp, tl.where(scaled < -clamp, -clamp, scaled))
    high = tl.arange(0, HIGH)
    room = tl.arange(0, ROOM)
    tap = high[None, :] - DOWN * room[:, None]
    if DOWN_RADIAL:
        result = tl.zeros([ROOM, ROOM], tl.float32)
        known = (tap >= 0) & (tap < DOWN_TAPS_X)
        for row in range(DOWN_TAPS_Y):
            chosen = (tap == row).to(tl.float32)
            across = tl.load(down_filter + row * DOWN_TAPS_X + tap, mask=known, other=0.0)
            short = tl.dot(chosen, active, input_precision="ieee")
            result += tl.dot(short, tl.trans(across), input_precision="ieee")
    else:
        along = tl.load(down_filter + tap, mask=(tap >= 0) & (tap < DOWN_TAPS_Y), other=0.0)
        across = tl.load(down_filter + tap, mask=(tap >= 0) & (tap < DOWN_TAPS_X), other=0.0)
        short = tl.dot(along, active, input_precision="ieee")
        result = tl.dot(short, tl.trans(across), input_precision="ieee")
    rows, columns = first_y + room, first_x + room
    wanted = ((room < TILE_Y) & (rows < out_height))[:, None]
    wanted = wanted & ((room < TILE_X) & (columns < out_width))[None, :]
    places = rows[:, None] * out_row + columns[None, :] * out_column
    tl.store(
        out + sample * out_n + channel * out_c + places,
        result.to(out.dtype.element_ty),
        mask=wanted,
    )


class _Plan(NamedTuple):
    up: int
    down: int
    padding: tuple[int, int, int, int]
    gain: float
    slope: float
    clamp: float


def filtered_lrelu_triton(
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
    """`tagloom.networks.ops.filtered_lrelu.filtered_lrelu` on a GPU (interpreted: on a CPU)."""
    up_taps, down_taps = prepared_taps(fu, fd, up=up, flip_filter=flip_filter, device=x.device)
    plan = _Plan(up, down, padding, gain, slope, math.inf if clamp is None else float(clamp))
    bias = torch.zeros(x.shape[1], device=x.device) if b is None else b.to(torch.float32)
    result: Tensor = _FilteredLeakyReLU.apply(
        x, bias, up_taps.contiguous(), down_taps.contiguous(), plan
    )
    return result


class _FilteredLeakyReLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, bias: Tensor, up_taps: Tensor, down_taps: Tensor, plan: _Plan
    ) -> Tensor:
        ctx.save_for_backward(x, bias, up_taps, down_taps)
        ctx.plan = plan
        return _run(x, x, bias, up_taps, down_taps, plan, replay=False, transposed=False)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, bias, *filters = ctx.saved_tensors
        grad_x = _Replay.apply(grad, x.detach(), bias.detach(), *filters, ctx.plan, True)
        wanted = ctx.needs_input_grad[1]
        grad_bias = grad_x.sum(dim=(0, 2, 3), dtype=torch.float32) if wanted else None
        return grad_x, grad_bias, None, None, None


class _Replay(torch.autograd.Function):
    """The operation linearised at x, or its transpose: each is the other's gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        v: Tensor,
        x: Tensor,
        bias: Tensor,
        up_taps: Tensor,
        down_taps: Tensor,
        plan: _Plan,
        transposed: bool,
    ) -> Tensor:
        ctx.save_for_backward(x, bias, up_taps, down_taps)
        ctx.plan, ctx.transposed = plan, transposed
        return _run(v, x, bias, up_taps, down_taps, plan, replay=True, transposed=transposed)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        result = _Replay.apply(grad, *ctx.saved_tensors, ctx.plan, not ctx.transposed)
        return (result, *[None] * 6)


def _run(
    v: Tensor,
    x: Tensor,
    bias: Tensor,
    up_taps: Tensor,
    down_taps: Tensor,
    plan: _Plan,
    *,
    replay: bool,
    transposed: bool,
) -> Tensor:
    n, c, h, w = x.shape
    up, down = plan.up, plan.down
    up_size, down_size = filter_size(up_taps), filter_size(down_taps)
    outs = output_size(h, w, up, down, up_size, down_size, plan.padding)
    offsets = [up_size[0] - 1 - plan.padding[2], up_size[1] - 1 - plan.padding[0]]
    # Sample 0 of the transposed pass is the first that input sample 0 reaches.
    x_places = [0, 0] if transposed else offsets
    own = ("up", up, up_taps, up_size), ("down", down, down_taps, down_size)
    (_, u, u_taps, u_size), (_, d, d_taps, d_size) = own[::-1] if transposed else own
    v_places = [-offset for offset in offsets] if transposed else offsets
    out_size = (h, w) if transposed else outs
    high = max(_HIGH_TILE, triton.next_power_of_2(2 * max(*d_size, 1)))
    tile = [(high - taps) // d + 1 for taps in d_size]
    tiles = [-(-size // side) for size, side in zip(out_size, tile, strict=True)]
    layout = torch.channels_last if _is_channels_last(x) else torch.contiguous_format
    out = torch.empty((n, c, *out_size), dtype=v.dtype, device=v.device, memory_format=layout)
    _kernel[(n * c, tiles[0] * tiles[1])](
        v, x, bias.contiguous(), out, u_taps, d_taps, up_taps,
        c, *v.shape[2:], *v.stride(), h, w, *x.stride(), *out_size, *out.stride(),
        tiles[1], *v_places, *x_places,
        plan.gain, plan.slope, plan.clamp,
        UP=u, UP_TAPS_Y=u_size[0], UP_TAPS_X=u_size[1], UP_RADIAL=u_taps.ndim == 2,
        DOWN=d, DOWN_TAPS_Y=d_size[0], DOWN_TAPS_X=d_size[1], DOWN_RADIAL=d_taps.ndim == 2,
        X_UP=up, X_TAPS_Y=up_size[0], X_TAPS_X=up_size[1], X_RADIAL=up_taps.ndim == 2,
        REPLAY=replay, TILE_Y=tile[0], TILE_X=tile[1], HIGH=high,
        LOW=_low(high, u, u_size), X_LOW=_low(high, up, up_size),
        ROOM=max(16, triton.next_power_of_2(max(tile))),
    )  # fmt: skip
    return out


def _is_channels_last(x: Tensor) -> bool:
    """As torch's convolutions see it; both layouts at once (one channel, one pixel) is no."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def _low(high: int, factor: int, taps: tuple[int, int]) -> int:
    """A power of two that holds the low-rate samples which `high` high-rate ones depend on."""
    return max(16, int(triton.next_power_of_2(high // factor + -(-max(taps) // factor) + 1)))


@functools.cache
def triton_works(device: torch.device) -> bool:
    """Whether kernels can be compiled for the device: Triton wants a C compiler and Python.h."""
    taps = torch.ones(2, device=device)
    try:
        filtered_lrelu_triton(
            torch.ones(1, 1, 4, 4, device=device), taps, taps, None,
            up=2, down=2, padding=(1, 1, 1, 1), gain=1.0, slope=0.2, clamp=None,
        )  # fmt: skip
    except Exception as error:  # whatever is missing, the plain path computes the same
        _log.warning("Triton cannot compile for %s (%s); using torch's operations.", device, error)
        return False
    return True
