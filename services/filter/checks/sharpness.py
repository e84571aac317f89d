"""Are the sharpest parts of the photo sharp?

After Crete, Dolmiere, Ladret and Nicolas, "The blur effect" (SPIE 6492, 2007): blurring a sharp
picture removes most of its pixel-to-pixel variation, blurring a blurred one hardly any. Per tile
and direction, sharpness = removed / present variation, in 0..1, whatever the contrast.

Three things are added. The photo is first reduced to 512 px on its shorter side, the scale of the
training sizes: blur that vanishes there does no harm. In each direction only the quarter of the
tiles with the strongest edges is asked, of which the sharpest 2 % count: a sharp subject before a
blurred background is sharp, however small (the seed study names this as a false rejection of its
filter). And of four directions, the diagonals too, the least sharp counts, so that motion blur
shows: along the motion nothing is sharp anywhere, while edges along it stay.

Score: 0..1, unit `ratio`; 0 when no tile has any edge. Real photos score 0.6-0.9, with a sharp
middle alone much the same; a Gaussian blur of 2.5, 4, 6 px (standard deviation, at the scale above)
takes them to about 0.3-0.5, 0.2-0.3, below 0.3.

Known failures: grain and noise count as detail, so a noisy blurred photo passes; of motion blur
over 21 px (at the scale above, any angle) 14 to 28 % passes, of 11 px 26 to 51 %, fine texture all
over the photo above all; photos without any edges (fog, clean gradients) fail; blur that is only
visible above 512 px is not seen.
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
_DIAGONAL_BLUR = 7
"""the same along a diagonal, where a step is 1.4 px"""
_EDGE_SHARE = 0.25
_BEST = 0.98
"""quantile of those tiles that counts: a ladybird on a leaf is two or three of them"""
_MIN_VARIATION = 1.0
"""grey levels per step: below, a tile is flat in that direction and tells nothing"""
_MIN_DIRECTION_SHARE = 0.1
"""a direction with less than this share of the strongest one's variation does not speak for the
photo: along lines that are nearly aligned with it there is little, and that little looks blurred"""

_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""steps down and across"""

_Plane = npt.NDArray[np.float32]
_Asked = npt.NDArray[np.bool_]


def score(photo: Photo) -> Score:
    """Sharpness in the least sharp direction, of the sharpest tiles with edges across it."""
    ratios, asked = tile_map(photo)
    return Score(_sharpest(ratios, asked))


def tile_map(photo: Photo) -> tuple[_Plane, _Asked]:
    """The sharpness of each tile in the photo's least sharp direction, 0..1, and which tiles have
    edges strong enough to be asked; both [tiles down, tiles across], over the whole photo."""
    luma = _working_size(photo.grey()).astype(np.float32)
    nothing = np.zeros((1, 1), np.float32), np.zeros((1, 1), np.bool_)
    if min(luma.shape) < 2:
        return nothing
    found = [_variation(luma, down, across) for down, across in _DIRECTIONS]
    strong = [float(np.quantile(present, _BEST)) for present, _ in found]
    least = nothing
    for (present, removed), strength in zip(found, strong, strict=True):
        bound = max(_MIN_VARIATION, float(np.quantile(present, 1 - _EDGE_SHARE)))
        asked = np.asarray(present >= bound, np.bool_)
        if not asked.any() or strength < _MIN_DIRECTION_SHARE * max(strong):
            continue
        ratios = np.asarray(removed / np.maximum(present, 1e-6), np.float32)
        if not least[1].any() or _sharpest(ratios, asked) < _sharpest(*least):
            least = ratios, asked
    if not least[1].any():  # flat everywhere; its map has tiles all the same
        return np.zeros_like(found[0][0]), np.zeros(found[0][0].shape, np.bool_)
    return least


def _sharpest(ratios: _Plane, asked: _Asked) -> float:
    return float(np.quantile(ratios[asked], _BEST)) if asked.any() else 0.0


def _working_size(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    ratio = _SHORT_SIDE / min(grey.shape)
    return grey if ratio >= 1 else scaled(grey, ratio)


def _variation(luma: _Plane, down: int, across: int) -> tuple[_Plane, _Plane]:
    """Mean absolute difference of neighbours in a direction per tile, and how much of it a box
    blur in that direction removes; both [tiles down, tiles across], grey levels per step."""
    sharp = _steps(luma, down, across)
    removed = np.maximum(cv2.subtract(sharp, _steps(_blurred(luma, down, across), down, across)), 0)
    h, w = luma.shape
    grid = (max(1, w // _TILE), max(1, h // _TILE))
    means = (cv2.resize(plane, grid, interpolation=cv2.INTER_AREA) for plane in (sharp, removed))
    present_mean, removed_mean = (np.asarray(mean, np.float32) for mean in means)
    return present_mean, removed_mean


def _blurred(luma: _Plane, down: int, across: int) -> Any:
    if not down:
        return cv2.blur(luma, (_BLUR, 1))
    if not across:
        return cv2.blur(luma, (1, _BLUR))
    kernel = np.eye(_DIAGONAL_BLUR, dtype=np.float32) / _DIAGONAL_BLUR
    return cv2.filter2D(luma, -1, kernel if across > 0 else np.ascontiguousarray(kernel[::-1]))


def _steps(plane: Any, down: int, across: int) -> Any:
    """Absolute differences of each pixel and its neighbour in a direction."""
    h, w = plane.shape
    one = plane[: h - down, max(0, -across) : w - max(0, across)]
    other = plane[down:, max(0, across) : w + min(0, across)]
    return cv2.absdiff(one, other)


CHECK = Check(
    name="sharpness",
    version="4",
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
