"""Are the sharpest parts of the photo sharp?

After Crete, Dolmiere, Ladret and Nicolas, "The blur effect" (SPIE 6492, 2007): blurring a sharp
picture removes most of its pixel-to-pixel variation, blurring a blurred one hardly any. Per tile
and direction, sharpness = removed / present variation, in 0..1, whatever the contrast.

Two things are added. The photo is first reduced to 512 px on its shorter side, the scale of the
training sizes: blur that vanishes there does no harm. And only the quarter of the tiles with the
strongest edges is asked, of which the sharpest 3 % count: a sharp subject before a blurred
background is sharp, however small (the seed study names this as a false rejection of its filter).
In a tile the less sharp of the two directions counts, so that motion blur shows.

Score: 0..1, unit `ratio`; 0 when no tile has any edge. Real photos score 0.6-0.9, with a sharp
middle alone much the same; a Gaussian blur of 2.5, 4, 6 px (standard deviation, at the scale above)
takes them to about 0.3-0.5, 0.2-0.3, below 0.3.

Known failures: grain and noise count as detail, so a noisy blurred photo passes; of motion blur
over 21 px more than a third passes, along lines of the scene (railings, a horizon) above all;
photos without any edges (fog, clean gradients) fail; blur that is only visible above 512 px is not
seen.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from services.filter.checks.base import Check, Score, apart
from services.filter.decode import Photo, scaled

__all__ = ["CHECK", "tile_map"]

_SHORT_SIDE = 512
_TILE = 32
_BLUR = 9
"""width of the box filter in px; Crete et al. use 9 as well"""
_EDGE_SHARE = 0.25
_BEST = 0.97
"""quantile of those tiles that counts: a ladybird on a leaf is two or three of them"""
_MIN_VARIATION = 2.0
"""grey levels per px, both directions together: below, a tile is flat and tells nothing"""
_MIN_DIRECTION_SHARE = 0.1
"""a direction with less than this share of a tile's variation does not speak for it: along an edge
that is nearly aligned with the pixels there is little variation, and that little looks blurred"""

_Plane = npt.NDArray[np.float32]


def score(photo: Photo) -> Score:
    """Sharpness of the sharpest of the tiles with the strongest edges."""
    ratios, asked = tile_map(photo)
    return Score(float(np.quantile(ratios[asked], _BEST)) if asked.any() else 0.0)


def tile_map(photo: Photo) -> tuple[_Plane, npt.NDArray[np.bool_]]:
    """The sharpness of each tile, 0..1, and which tiles have edges strong enough to be asked; both
    [tiles down, tiles across], over the whole photo."""
    luma = _working_size(photo.grey()).astype(np.float32)
    if min(luma.shape) < 2:
        return np.zeros((1, 1), np.float32), np.zeros((1, 1), np.bool_)
    present, removed = zip(*(_variation(luma, axis) for axis in (0, 1)), strict=True)
    total = present[0] + present[1]
    asked = total >= max(_MIN_VARIATION, float(np.quantile(total, 1 - _EDGE_SHARE)))
    ratios = [
        np.where(there >= _MIN_DIRECTION_SHARE * total, gone / np.maximum(there, 1e-6), 1.0)
        for there, gone in zip(present, removed, strict=True)
    ]
    least: _Plane = np.minimum(*ratios)
    return least, np.asarray(asked, np.bool_)


def _working_size(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    ratio = _SHORT_SIDE / min(grey.shape)
    return grey if ratio >= 1 else scaled(grey, ratio)


def _variation(luma: _Plane, axis: int) -> tuple[_Plane, _Plane]:
    """Mean absolute difference of neighbours along `axis` per tile, and how much of it a box
    blur along that axis removes; both [tiles down, tiles across], grey levels per px."""
    kernel = (1, _BLUR) if axis == 0 else (_BLUR, 1)
    sharp, blurred = _steps(luma, axis), _steps(cv2.blur(luma, kernel), axis)
    h, w = luma.shape
    grid = (max(1, w // _TILE), max(1, h // _TILE))
    removed = np.maximum(cv2.subtract(sharp, blurred), 0)
    means = (cv2.resize(plane, grid, interpolation=cv2.INTER_AREA) for plane in (sharp, removed))
    present_mean, removed_mean = (np.asarray(mean, np.float32) for mean in means)
    return present_mean, removed_mean


def _steps(plane: Any, axis: int) -> Any:
    """Absolute differences of neighbours along `axis`."""
    if axis == 0:
        return cv2.absdiff(plane[1:], plane[:-1])
    return cv2.absdiff(plane[:, 1:], plane[:, :-1])


CHECK = Check(
    name="sharpness",
    version="3",
    unit="ratio",
    minimum=True,
    threshold=0.55,
    low=0.0,
    high=1.0,
    score=score,
    side=_SHORT_SIDE,
    explain=lambda value, threshold: (
        "Even the sharpest parts are blurred: sharpness {}, below {}.".format(
            *apart(value, threshold, 2)
        )
    ),
)
