"""Upsample, filter and downsample images, without ever computing on inserted zeros.

By definition (StyleGAN2, appendix B of arXiv 1912.04958) the image gets `up - 1` zeros after each
sample, is padded (a negative padding crops), convolved with the filter, and every `down`-th sample
is kept. A transposed convolution with stride `up` gives the same sums without the zeros, and a
convolution with stride `down` without the samples thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "downsample2d",
    "filter2d",
    "parse_padding",
    "parse_scaling",
    "setup_filter",
    "upfirdn2d",
    "upsample2d",
]


def setup_filter(
    f: Any,
    *,
    normalize: bool = True,
    flip_filter: bool = False,
    gain: float = 1.0,
    separable: bool | None = None,
    device: torch.device | None = None,
) -> Tensor:
    """A filter kernel as float32: [fh, fw], or [taps] if it is separable.

    f: nested numbers of one or two dimensions; None is the identity.
    separable: keep one-dimensional taps as they are; default: from 8 taps on.
    gain: of the two-dimensional filter as a whole.
    """
    kernel = torch.as_tensor(1.0 if f is None else f, dtype=torch.float32)
    if kernel.ndim > 2 or kernel.numel() == 0:
        raise ValueError(f"a filter has one or two dimensions, not the shape {tuple(kernel.shape)}")
    if kernel.ndim == 0:
        kernel = kernel[None]
    if separable is None:
        separable = kernel.ndim == 1 and kernel.numel() >= 8
    if kernel.ndim == 1 and not separable:
        kernel = torch.outer(kernel, kernel)
    if normalize:
        kernel = kernel / kernel.sum()
    if flip_filter:
        kernel = kernel.flip(tuple(range(kernel.ndim)))
    scale = float(gain) ** (kernel.ndim / 2)
    result: Tensor = (kernel * scale).to(device)
    return result


def parse_scaling(scaling: int | Sequence[int]) -> tuple[int, int]:
    """(x, y) from one factor for both axes or one for each."""
    x, y = (scaling, scaling) if isinstance(scaling, int) else scaling
    if x < 1 or y < 1:
        raise ValueError(f"a scaling factor is at least 1, not {scaling}")
    return x, y


def parse_padding(padding: int | Sequence[int]) -> tuple[int, int, int, int]:
    """(x before, x after, y before, y after) from one, two (x, y) or four numbers."""
    if isinstance(padding, int):
        return padding, padding, padding, padding
    if len(padding) == 2:
        return padding[0], padding[0], padding[1], padding[1]
    x0, x1, y0, y1 = padding
    return x0, x1, y0, y1


def upfirdn2d(
    x: Tensor,
    f: Tensor | None,
    *,
    up: int | Sequence[int] = 1,
    down: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Zero-insert by `up`, pad, convolve with `f`, keep every `down`-th sample, for each channel.

    x: [N, C, H, W].
    f: [fh, fw], or [taps] for both axes in turn; None is the identity.
    padding: with respect to the upsampled image; negative values crop.
    flip_filter: correlate instead of convolve.
    Returns [N, C, (H * up + y0 + y1 - fh) // down + 1, likewise for W].
    """
    upx, upy = parse_scaling(up)
    downx, downy = parse_scaling(down)
    x0, x1, y0, y1 = parse_padding(padding)
    if f is None:
        f = torch.ones([1, 1], dtype=torch.float32, device=x.device)
    kernel = (f * gain ** (f.ndim / 2)).to(x.dtype)
    if flip_filter:
        kernel = kernel.flip(tuple(range(kernel.ndim)))

    planes = x
    strided = max(upx, upy, downx, downy) > 1
    if strided and x.dtype == torch.bfloat16 and x.device.type == "cpu":
        # oneDNN's strided depthwise kernels take 20 to 50 times as long in bfloat16, one way.
        planes, kernel = x.float(), kernel.float()
    if kernel.ndim == 2:
        planes = _resample(planes, kernel, (upy, upx), (downy, downx), (y0, y1, x0, x1))
    else:
        # Rows first where that leaves fewer samples for the second pass, columns first otherwise.
        passes = [
            (kernel[None, :], (1, upx), (1, downx), (0, 0, x0, x1)),
            (kernel[:, None], (upy, 1), (downy, 1), (y0, y1, 0, 0)),
        ]
        for taps, ups, downs, pads in passes:
            planes = _resample(planes, taps, ups, downs, pads)
    return planes.to(x.dtype)


def _resample(
    planes: Tensor,
    kernel: Tensor,
    up: tuple[int, int],
    down: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> Tensor:
    """One filter on every channel of [N, C, H, W]; (y, x) factors and (y0, y1, x0, x1) padding.

    A group a channel: oneDNN's depthwise kernels are 3 to 18 times faster than one-channel images.
    """
    fh, fw = kernel.shape
    y0, y1, x0, x1 = padding
    c, h, w = planes.shape[1:]
    kernels = kernel.expand(c, 1, fh, fw)
    out_h = h * up[0] + y0 + y1 - fh + 1
    out_w = w * up[1] + x0 + x1 - fw + 1
    if out_h < 1 or out_w < 1:
        raise ValueError(f"a {h}x{w} image is too small for a {fh}x{fw} filter with {padding}")
    if up == (1, 1):
        # The convolution pads symmetrically for free; what is left goes before it.
        if y0 == y1 and x0 == x1 and y0 >= 0 and x0 >= 0:
            symmetric = (y0, x0)
        else:
            planes = F.pad(planes, [x0, x1, y0, y1])
            symmetric = (0, 0)
        kernels = kernels.flip((2, 3))
        return F.conv2d(planes, kernels, stride=down, padding=symmetric, groups=c)

    # The transposed convolution is the full one: output k of the definition is its k + fh - 1 - y0.
    full = F.conv_transpose2d(planes, kernels.contiguous(), stride=up, groups=c)
    top, left = fh - 1 - y0, fw - 1 - x0
    full = F.pad(full, [-left, out_w + left - full.shape[3], -top, out_h + top - full.shape[2]])
    return full if down == (1, 1) else full[:, :, :: down[0], :: down[1]]


def filter2d(
    x: Tensor,
    f: Tensor,
    *,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """x [N, C, H, W] filtered by f [fh, fw] or [taps]; without `padding` the size stays.

    padding: what the size grows by on every side, or (x, y), or (x0, x1, y0, y1); negative crops.
    """
    x0, x1, y0, y1 = parse_padding(padding)
    fh, fw = f.shape[0], f.shape[-1]
    pads = [x0 + fw // 2, x1 + (fw - 1) // 2, y0 + fh // 2, y1 + (fh - 1) // 2]
    return upfirdn2d(x, f, padding=pads, flip_filter=flip_filter, gain=gain)


def upsample2d(
    x: Tensor,
    f: Tensor,
    *,
    up: int | Sequence[int] = 2,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """x [N, C, H, W] to [N, C, H·up, W·up]: up times its size, its mean kept.

    f: [fh, fw] or [taps], the filter behind the zeros. up: one factor, or (x, y).
    padding: as in `filter2d`, in samples of the result.
    """
    upx, upy = parse_scaling(up)
    x0, x1, y0, y1 = parse_padding(padding)
    fh, fw = f.shape[0], f.shape[-1]
    pads = [
        x0 + (fw + upx - 1) // 2,
        x1 + (fw - upx) // 2,
        y0 + (fh + upy - 1) // 2,
        y1 + (fh - upy) // 2,
    ]
    scale = gain * upx * upy
    return upfirdn2d(x, f, up=(upx, upy), padding=pads, flip_filter=flip_filter, gain=scale)


def downsample2d(
    x: Tensor,
    f: Tensor,
    *,
    down: int | Sequence[int] = 2,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """x [N, C, H, W] to [N, C, H/down, W/down].

    f: [fh, fw] or [taps], the filter before samples are left out. down: one factor, or (x, y).
    padding: as in `filter2d`, in samples of x.
    """
    downx, downy = parse_scaling(down)
    x0, x1, y0, y1 = parse_padding(padding)
    fh, fw = f.shape[0], f.shape[-1]
    pads = [
        x0 + (fw - downx + 1) // 2,
        x1 + (fw - downx) // 2,
        y0 + (fh - downy + 1) // 2,
        y1 + (fh - downy) // 2,
    ]
    return upfirdn2d(x, f, down=(downx, downy), padding=pads, flip_filter=flip_filter, gain=gain)
