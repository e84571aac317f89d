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

import numpy as np
import numpy.typing as npt

from services.filter.checks.base import Check, Score
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


def score(photo: Photo) -> Score:
    """Coverage of the best seam."""
    rgb = photo.fit(_LONG_SIDE)
    upright = _coverage(rgb)
    level = _coverage(np.ascontiguousarray(rgb.transpose(1, 0, 2)))
    best = float(upright.max(initial=0.0))
    alone = float(level.max(initial=0.0))
    return Score(round(max(best, min(alone, max(best, _companion(level)))), 4))


def _coverage(rgb: npt.NDArray[np.uint8]) -> _Curve:
    """For each column [w] the share of its pixels that jump there; 0 near the edges."""
    w = rgb.shape[1]
    margin = max(4, int(w * _MARGIN))
    if w < 4 * margin or rgb.shape[0] < 16:
        return np.zeros(w, np.float32)
    values = rgb.astype(np.int16)
    jump = np.zeros(rgb.shape[:2], np.float32)
    jump[:, 1:-1] = np.abs(values[:, 2:] - values[:, :-2]).max(axis=2)
    beside = np.zeros_like(jump)
    beside[:, 3:-3] = np.maximum(jump[:, :-6], jump[:, 6:])
    # A groove between planks has the same wood on either side, a seam has not.
    wide = np.zeros_like(jump)
    wide[:, 5:-5] = np.abs(values[:, 10:] - values[:, :-10]).max(axis=2)
    jumps = (jump > _JUMP) & (jump > _TIMES * beside) & (wide > _JUMP)
    # A seam that the reduction laid between two columns lies half in each.
    jumps[:, 1:] |= jumps[:, :-1]
    coverage = jumps.mean(axis=0, dtype=np.float32)
    coverage[:margin] = coverage[w - margin :] = 0
    return np.asarray(coverage, np.float32)


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
        f"A straight seam runs through {value:.0%} of the photo, more than {threshold:.0%}: it "
        "may be several photos."
    ),
    long_side=_LONG_SIDE,
)
