"""Is it several photos put side by side?

Score: how much of the photo's whole height (or width) the straightest seam covers, 0..1, unit
`ratio`, at 480 px on the longer side. A seam is a line parallel to an edge across the whole photo
along which the picture jumps: pixels two apart differ by more than those beside them do. A gutter
(a line of one colour between panels) has a seam on either side.

A seam across the width counts when it has a companion: a gutter's other side, or a seam of the
height. The horizon of a sea is as straight as a seam, and alone.

Known failures: two photos stacked without a gutter pass; panels of irregular shape, panels of the
same plain colour at the seam, and faded seams pass; a pole or a wall's edge exactly upright through
the whole photo may count.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from services.filter.checks.base import Check, Score, apart
from services.filter.decode import Photo

__all__ = ["CHECK"]

_LONG_SIDE = 480
_JUMP = 10.0
"""levels between pixels two apart"""
_TIMES = 1.6
"""how much more the picture jumps at the seam than beside it"""
_MARGIN = 0.08
"""share of a side within which a seam is rather a border"""
_GUTTER = 0.06
"""share of a side that a gutter has at most"""

_Curve = npt.NDArray[np.float32]
_Plane = npt.NDArray[np.uint8]


def score(photo: Photo) -> Score:
    """Coverage of the best seam."""
    rgb = photo.fit(_LONG_SIDE)
    upright = _coverage(rgb)
    level = _coverage(cv2.transpose(rgb))
    best = float(upright.max(initial=0.0))
    alone = float(level.max(initial=0.0))
    return Score(round(max(best, min(alone, max(best, _companion(level)))), 4))


def _coverage(rgb: Any) -> _Curve:
    """For each column [w] the share of its pixels that jump there; 0 near the edges."""
    h, w = rgb.shape[:2]
    margin = max(6, int(w * _MARGIN))
    coverage = np.zeros(w, np.float32)
    if w < 4 * margin or h < 16:
        return coverage
    # All three for columns 5 to w - 5.
    jump = _jump(rgb[:, 4:-4], 2)
    beside = cv2.max(_jump(rgb[:, 1:-7], 2), _jump(rgb[:, 7:-1], 2))
    # A groove between planks has the same wood on either side, a seam has not.
    wide = _jump(rgb, 10)
    more = jump > cv2.convertScaleAbs(beside, alpha=_TIMES)  # saturates, as no jump is above 255
    jumps = (jump > _JUMP) & (wide > _JUMP) & more
    # A seam that the reduction laid between two columns lies half in each.
    jumps[:, 1:] |= jumps[:, :-1]
    coverage[5:-5] = np.count_nonzero(jumps, axis=0) / h
    coverage[:margin] = coverage[w - margin :] = 0
    return coverage


def _jump(rgb: Any, apart: int) -> _Plane:
    """How many levels pixels so far apart differ, in the channel where they do most."""
    red, green, blue = cv2.split(cv2.absdiff(rgb[:, apart:], rgb[:, :-apart]))
    return np.asarray(cv2.max(red, cv2.max(green, blue)), np.uint8)


def _companion(coverage: _Curve) -> float:
    """Coverage of the second seam of a gutter: the second best one near the best, not the same."""
    best = int(coverage.argmax())
    reach = max(6, int(len(coverage) * _GUTTER))
    around = coverage[max(0, best - reach) : best + reach + 1].copy()
    centre = min(best, reach)
    around[max(0, centre - 2) : centre + 3] = 0
    return float(around.max(initial=0.0))


CHECK = Check(
    name="collage",
    version="1",
    unit="ratio",
    minimum=False,
    threshold=0.9,
    low=0.0,
    high=1.0,
    score=score,
    explain=lambda value, threshold: (
        "A straight seam runs through {} of the photo, more than {}: it may be several photos."
    ).format(*apart(value, threshold, 0, "%")),
    long_side=_LONG_SIDE,
)
