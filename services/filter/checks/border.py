"""Is the photo framed: by bars above and below, by a passe-partout, by a screenshot's edge?

Score: share of the photo's area in uniform bands along its edges, 0..1, unit `ratio`, at 480 px on
the longer side. A band counts when its rows are of one colour and it ends along a straight line:
within a JPEG block at least half of the pixels are of another colour. A subject on a plain ground
(a fish on black, a cup on white) has no such line and scores 0. Boxes are the bands.

Known failures: bands of a pattern, a gradient or a blurred copy of the photo; rounded corners; a
horizon exactly level below a sky without any shade may count.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.filter.checks.base import Check, Score, apart
from services.filter.decode import Photo
from tagloom.artifacts.dataset import Box

__all__ = ["CHECK"]

_LONG_SIDE = 480
_LEVELS = 8
"""a pixel within so many levels of the band's colour is of its colour: JPEG adds a few"""
_STRAY = 0.01
"""share of the pixels of a band's row that may be of another colour"""
_OTHER = 24
"""levels that a pixel beyond the line differs by at least"""
_LINE = 0.5
"""share of the pixels beyond the line that do"""
_SOFT = 9
"""rows that the line may take: JPEG blurs it over a block, reducing the photo by one more"""
_MOST = 0.45
"""share of a side that one band may have"""


def score(photo: Photo) -> Score:
    """Share of the area in bands."""
    rgb = photo.fit(_LONG_SIDE)
    h, w = rgb.shape[:2]
    across = rgb.transpose(1, 0, 2)
    top, bottom = _band(rgb), _band(rgb[::-1])
    left, right = _band(across), _band(across[::-1])
    inside = (h - top - bottom) * (w - left - right)
    x, y = photo.width / w, photo.height / h
    bands = (
        (top, (0, 0, w, top)),
        (bottom, (0, h - bottom, w, h)),
        (left, (0, top, left, h - bottom)),
        (right, (w - right, top, w, h - bottom)),
    )
    boxes = tuple(
        Box(left=box[0] * x, top=box[1] * y, right=box[2] * x, bottom=box[3] * y, score=1.0)
        for height, box in bands
        if height
    )
    return Score(1 - inside / (h * w), boxes)


def _band(rows: npt.NDArray[np.uint8]) -> int:
    """How many of the first `rows` [h, w, 3] make a band that ends along a line; 0 for none."""
    colour = np.median(rows[0], axis=0)
    most = int(len(rows) * _MOST)
    if (_away(rows[:1], colour) > _LEVELS).mean() > _STRAY:
        return 0  # as most do: the rest need not be looked at
    away = _away(rows[: most + _SOFT], colour)
    uniform = (away > _LEVELS).mean(axis=1) <= _STRAY
    height = len(uniform) if uniform.all() else int(np.argmin(uniform))
    if not 0 < height <= most:
        return 0
    beyond = away[height : height + _SOFT].max(axis=0)
    return height if (beyond > _OTHER).mean() >= _LINE else 0


def _away(rows: npt.NDArray[np.uint8], colour: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How many levels each pixel is from a colour, in the channel where it is most."""
    away: npt.NDArray[np.float64] = np.abs(rows - colour).max(axis=2)
    return away


CHECK = Check(
    name="border",
    version="1",
    unit="ratio",
    minimum=False,
    threshold=0.01,
    low=0.0,
    high=1.0,
    score=score,
    explain=lambda value, threshold: (
        "Uniform bands along the edges cover {} of the photo, above {}.".format(
            *apart(value, threshold, 1, "%")
        )
    ),
    long_side=_LONG_SIDE,
)
