"""Translations and rotations of images, as exact as their sampling allows, with masks.

The equivariance metrics compare a generator that was told to move its image with the image moved
afterwards. Moving a sampled image needs a filter that keeps every frequency the pixels can hold
and adds none; and where the moved image would need pixels from outside, nothing can be compared.

Source: Karras et al. 2021, "Alias-Free Generative Adversarial Networks", arXiv 2106.12423,
appendix E.3; the filters' lengths and normalisation are those of the official figures.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "bandlimit_filter",
    "fractional_translation",
    "integer_translation",
    "pseudo_rotation",
    "rotation",
]

LANCZOS = 3
"""half the width of a Lanczos window, in pixels"""
REACH = 2 * LANCZOS
"""a rotation's filter, two such windows convolved, reaches so many pixels"""
_OVERSAMPLING = 4
_EXTENT = 64
"""pixels to each side over which sinc functions, which decay slowly, are convolved"""

_Array = npt.NDArray[np.float64]


def integer_translation(images: Tensor, tx: float, ty: float) -> tuple[Tensor, Tensor]:
    """`images` [N, C, H, W] moved by the whole number of pixels nearest to (tx * W, ty * H).

    Positive is to the right and down. Returns the images and a mask [1, 1, H, W]: 1 where a pixel
    came from inside, 0 elsewhere (there the images are 0).
    """
    height, width = images.shape[2:]
    dx, dy = round(tx * width), round(ty * height)
    to_y, from_y = _overlap(height, dy)
    to_x, from_x = _overlap(width, dx)
    moved, mask = torch.zeros_like(images), torch.zeros_like(images[:1, :1])
    moved[:, :, to_y, to_x] = images[:, :, from_y, from_x]
    mask[:, :, to_y, to_x] = 1
    return moved, mask


def _overlap(size: int, shift: int) -> tuple[slice, slice]:
    """Places that receive a pixel, and the places these pixels come from."""
    kept = max(size - abs(shift), 0)
    target, source = max(shift, 0), max(-shift, 0)
    return slice(target, target + kept), slice(source, source + kept)


def fractional_translation(images: Tensor, tx: float, ty: float) -> tuple[Tensor, Tensor]:
    """`images` [N, C, H, W] moved by (tx * W, ty * H) pixels with a Lanczos filter of 6 taps.

    Returns the images and a mask [1, 1, H, W]: 1 where all taps lie inside.
    """
    height, width = images.shape[2:]
    rows_HH, inside_H = _shift_matrix(height, ty * height, images.device)
    columns_WW, inside_W = _shift_matrix(width, tx * width, images.device)
    moved = (rows_HH @ images.double() @ columns_WW.T).to(images.dtype)
    mask = (inside_H[:, None] & inside_W).to(images.dtype)
    return moved, mask[None, None]


def _shift_matrix(size: int, shift: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """[size, size] that moves a signal by `shift` samples, and where [size] it had all it needed.

    The taps of a sample sum to 1, so that a constant stays what it is.
    """
    whole = math.floor(-shift)
    offsets = np.arange(-LANCZOS + 1, LANCZOS + 1)
    distances = np.asarray(offsets + (shift + whole), dtype=np.float64)
    taps: _Array = _sinc_window(distances) * np.sinc(distances)
    taps /= taps.sum()
    matrix = np.zeros([size, size])
    places = np.arange(size)
    inside = np.ones(size, dtype=bool)
    for offset, tap in zip(offsets, taps, strict=True):
        source = places + whole + offset
        valid = (source >= 0) & (source < size)
        matrix[places[valid], source[valid]] = tap
        inside &= valid
    return torch.from_numpy(matrix).to(device), torch.from_numpy(inside).to(device)


def rotation(images: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """Square `images` [N, C, S, S] turned about their centre by `angle` radians.

    Positive turns what points right (x) towards what points up (-y), as seen on a screen. What
    lies beyond the band of the turned grid is removed. Returns the images and a mask
    [1, 1, S, S]: 1 where the filter lay inside, give or take half a pixel.
    """
    size, up = _square(images), _OVERSAMPLING
    taps = torch.from_numpy(bandlimit_filter(angle, up=up)).to(images)
    planes = images.reshape(-1, 1, size, size)
    reach = REACH * up - 1
    # Each pixel spreads over its fine neighbourhood: the transposed convolution is the sum of
    # these spots (the filter is symmetric about its centre).
    fine = F.conv_transpose2d(planes, taps[None, None] * up**2, stride=up)
    fine = fine[:, :, reach : reach + size * up, reach : reach + size * up]
    short = size * up - fine.shape[2]  # behind the last pixel, where nothing spreads from
    fine = F.pad(fine, [0, short, 0, short])

    x_SS, y_SS = _turned_grid(size, -angle, images.device)
    fine_x, fine_y = x_SS * up, y_SS * up  # in fine samples; pixel 0 lies on sample 0
    side = size * up
    grid = torch.stack([(fine_x + 0.5) * 2 / side - 1, (fine_y + 0.5) * 2 / side - 1], dim=-1)
    grid = grid.to(images.dtype).expand(len(planes), -1, -1, -1)
    turned = F.grid_sample(fine, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    # A pixel covers the fine samples from up / 2 before it on; the area inside is the image's,
    # less the filter's reach.
    first, last = REACH * up - up // 2, side - REACH * up - up // 2
    near_x, near_y = fine_x.round(), fine_y.round()
    inside = (near_x >= first) & (near_x < last) & (near_y >= first) & (near_y < last)
    return turned.reshape(images.shape), inside.to(images.dtype)[None, None]


def pseudo_rotation(images: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """`images` [N, C, H, W] left in place, without the frequencies that a rotation removes.

    Of an image that was generated turned by `angle` these are the ones that a turned image of the
    unturned generator cannot have. Returns the images and a mask [1, 1, H, W]: 1 where the filter
    lay inside.
    """
    height, width = images.shape[2:]
    taps = torch.from_numpy(bandlimit_filter(-angle, up=1)).to(images)
    reach = REACH - 1
    planes = F.conv2d(images.reshape(-1, 1, height, width), taps[None, None], padding=reach)
    mask = torch.zeros_like(images[:1, :1])
    mask[:, :, reach : height - reach, reach : width - reach] = 1
    return planes.reshape(images.shape), mask


def _square(images: Tensor) -> int:
    height, width = images.shape[2:]
    if height != width:
        raise ValueError(f"only square images can be turned, not {height} x {width}")
    return int(height)


def _turned_grid(size: int, angle: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """x and y [size, size], in pixels, float64: where each pixel of a turned image comes from."""
    centre = (size - 1) / 2
    places = torch.arange(size, dtype=torch.float64, device=device) - centre
    y, x = torch.meshgrid(places, places, indexing="ij")
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * x + sin * y + centre, cos * y - sin * x + centre


@functools.lru_cache(maxsize=8)
def bandlimit_filter(angle: float, *, up: int) -> _Array:
    """The low-pass filter that keeps what both an upright and a turned grid of pixels can hold.

    [2 * 6 * up - 1, same], `up` samples a pixel. The ideal filter is the convolution of the two
    grids' ideal filters, each a product of two sinc functions; it is windowed by the convolution
    of their two-dimensional Lanczos windows. The taps that meet a pixel grid at any of its up**2
    offsets sum to 1 / up**2.
    """
    places = np.arange(-_EXTENT * up + 1, _EXTENT * up) / up
    x, y = np.meshgrid(places, places)
    cos, sin = math.cos(angle), math.sin(angle)
    turned_x, turned_y = cos * x + sin * y, cos * y - sin * x
    ideal = _convolve(np.sinc(x) * np.sinc(y), np.sinc(turned_x) * np.sinc(turned_y))
    window = _convolve(
        _sinc_window(x) * _sinc_window(y), _sinc_window(turned_x) * _sinc_window(turned_y)
    )
    # The window is zero beyond the reach of both.
    middle = slice((_EXTENT - REACH) * up, (_EXTENT + REACH) * up - 1)
    taps = (ideal * window)[middle, middle]
    phases = np.pad(taps, [(0, 1), (0, 1)]).reshape(2 * REACH, up, 2 * REACH, up)
    phases = phases / phases.sum(axis=(0, 2), keepdims=True) / up**2
    filter_: _Array = np.ascontiguousarray(phases.reshape(2 * REACH * up, -1)[:-1, :-1])
    return filter_


def _sinc_window(x: _Array) -> _Array:
    """Lanczos' window: the main lobe of a sinc function, `LANCZOS` pixels to each side."""
    window: _Array = np.where(np.abs(x) < LANCZOS, np.sinc(x / LANCZOS), 0.0)
    return window


def _convolve(first: _Array, second: _Array) -> _Array:
    """Cyclic convolution of two arrays whose origin is in the middle."""
    product = np.fft.rfft2(np.fft.ifftshift(first)) * np.fft.rfft2(np.fft.ifftshift(second))
    result: _Array = np.fft.fftshift(np.fft.irfft2(product, s=first.shape))
    return result
