"""Is the photo in colour?

Score: 99th percentile over pixels of max(R, G, B) - min(R, G, B), 0..255, unit `levels`, on a
reduced copy so that sensor noise and chroma subsampling average out. A percentile and not the
mean: a few coloured galaxies on a black sky are colour, the chroma noise of a grey JPEG is not.

Known failures: a toned (sepia, cyanotype) photo counts as colour; a grey photo with one coloured
logo that covers more than 1 % passes, one that covers less does not.
"""

from __future__ import annotations

import cv2
import numpy as np

from services.filter.checks.base import Check, Score, apart
from services.filter.decode import Photo

__all__ = ["CHECK"]

_LONG_SIDE = 480
_QUANTILE = 0.99


def score(photo: Photo) -> Score:
    """99th percentile of the spread between the channels, in 8-bit levels."""
    red, green, blue = cv2.split(photo.fit(_LONG_SIDE))
    high, low = (cv2.max(red, cv2.max(green, blue)), cv2.min(red, cv2.min(green, blue)))
    spread = np.asarray(cv2.subtract(high, low), np.uint8)
    reached = np.cumsum(np.bincount(spread.ravel(), minlength=256))
    return Score(float(np.searchsorted(reached, _QUANTILE * spread.size)))


CHECK = Check(
    name="grayscale",
    version="1",
    unit="levels",
    minimum=True,
    threshold=10.0,
    low=0.0,
    high=255.0,
    score=score,
    long_side=_LONG_SIDE,
    explain=lambda value, threshold: (
        "The photo is grey: its most coloured pixels spread over {} levels, below {}."
    ).format(*apart(value, threshold, 0)),
)
