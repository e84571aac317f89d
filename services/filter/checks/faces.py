"""Are there human faces?

dlib's frontal face detector: a sliding window over histograms of oriented gradients (Dalal and
Triggs, CVPR 2005) with a max-margin detector (King, "Max-Margin Object Detection",
arXiv:1502.00046); the same that the `face_recognition` package calls with model="hog".

The window is 80 px, so the photo is brought to 800 px on its longer side, up to twice its size:
faces from a tenth of the photo on are found, whatever the photo's own size.

Score: the best detection's confidence, unit `confidence`; -0.5 when nothing comes near. dlib's
own threshold is 0. On crops of photos without faces it reached 0.25; the one face there is to
test with scored 0.79 and more: hence 0.5. Boxes are those above 0.

Known failures: faces turned by more than about 30 degrees, behind masks, sunglasses or hats, or
smaller than a tenth of the photo are missed; round structured things (a wheel) come near 0.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import dlib

from services.filter.checks.base import Check, Score, apart
from services.filter.decode import Photo, scaled
from tagloom.artifacts.dataset import Box

__all__ = ["CHECK"]

_LONG_SIDE = 800
_MAX_ENLARGEMENT = 2.0
_FLOOR = -0.5
_MIN_SIDE = 24
"""px; dlib's feature pyramid needs a few cells"""


@cache
def _detector() -> Any:
    return dlib.get_frontal_face_detector()


def score(photo: Photo) -> Score:
    """The confidence of the likeliest face."""
    ratio = min(_MAX_ENLARGEMENT, _LONG_SIDE / max(photo.rgb.shape[:2]))
    rgb = scaled(photo.rgb, ratio) if ratio > 1 else photo.fit(_LONG_SIDE)
    if min(rgb.shape[:2]) < _MIN_SIDE:
        return Score(_FLOOR)
    found, confidences, _ = _detector().run(rgb, 0, _FLOOR)
    back_x, back_y = photo.width / rgb.shape[1], photo.height / rgb.shape[0]
    boxes = tuple(
        Box(
            left=max(0.0, box.left() * back_x),
            top=max(0.0, box.top() * back_y),
            right=min(float(photo.width), (box.right() + 1) * back_x),
            bottom=min(float(photo.height), (box.bottom() + 1) * back_y),
            score=round(confidence, 4),
        )
        for box, confidence in zip(found, confidences, strict=True)
        if confidence > 0
    )
    return Score(round(max(confidences, default=_FLOOR), 4), boxes)


CHECK = Check(
    name="faces",
    version="1",
    unit="confidence",
    minimum=False,
    threshold=0.5,
    low=-0.5,
    high=10.0,
    score=score,
    long_side=_LONG_SIDE,
    explain=lambda value, threshold: "A face was found with confidence {}, above {}.".format(
        *apart(value, threshold, 2)
    ),
)
