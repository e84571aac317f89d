"""Are there human faces, by YuNet?

"YuNet: a tiny millisecond-level face detector" (Wu, Peng and Yu, Machine Intelligence Research
2023), run by OpenCV with weights that the user brings:
`face_detection_yunet_2023mar.onnx` of the OpenCV Zoo (MIT). It knows turned faces and glasses,
which the gradients of `faces` miss; off unless asked for, since no package brings the file. Both
may be on: a photo then has to pass both.

Score: the likeliest face's confidence, 0..1, unit `confidence`, at 640 px on the longer side; 0
when none reaches 0.3. Boxes are those above 0.3.

Known failures: faces smaller than about a fiftieth of the photo; faces of statues and drawings
count.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from services.filter.checks.base import Check, Score, apart
from services.filter.decode import Photo
from services.filter.weights import Weights
from tagloom.artifacts.dataset import Box

__all__ = ["CHECK", "WEIGHTS"]

WEIGHTS = Weights(
    environment="TAGLOOM_YUNET_WEIGHTS",
    what="YuNet's weights",
    where="face_detection_yunet_2023mar.onnx of the OpenCV Zoo, MIT licence",
)
_LONG_SIDE = 640
_CONFIDENCE = 0.3
_OVERLAP = 0.3
_MOST = 500
"""boxes before overlapping ones are merged"""


@cache
def _detector(path: Path) -> Any:
    level = cv2.utils.logging.getLogLevel()
    try:
        # It warns of targets that nobody asked for, into the progress of whoever waits.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        size = (_LONG_SIDE, _LONG_SIDE)
        return cv2.FaceDetectorYN.create(str(path), "", size, _CONFIDENCE, _OVERLAP, _MOST)
    except (cv2.error, SystemError) as error:  # the latter around the former, at times
        raise WEIGHTS.unfit(path) from error
    finally:
        cv2.utils.logging.setLogLevel(level)


def score(photo: Photo) -> Score:
    """The confidence of the likeliest face."""
    rgb = photo.fit(_LONG_SIDE)
    h, w = rgb.shape[:2]
    # One size of input, so that any export of the network will do; the rest is black.
    square = np.zeros((_LONG_SIDE, _LONG_SIDE, 3), np.uint8)
    square[:h, :w] = rgb[..., ::-1]
    path = WEIGHTS.path()
    try:
        _, rows = _detector(path).detect(square)
    except (cv2.error, SystemError) as error:
        raise WEIGHTS.unfit(path) from error
    x, y = photo.width / w, photo.height / h
    boxes = tuple(
        Box(
            left=min(max(0.0, float(row[0]) * x), float(photo.width)),
            top=min(max(0.0, float(row[1]) * y), float(photo.height)),
            right=min(float(photo.width), float(row[0] + row[2]) * x),
            bottom=min(float(photo.height), float(row[1] + row[3]) * y),
            score=round(float(row[14]), 4),
        )
        for row in (rows if rows is not None else ())
    )
    return Score(max((box.score for box in boxes), default=0.0), boxes)


CHECK = Check(
    name="faces_yunet",
    version="1",
    unit="confidence",
    minimum=False,
    threshold=0.7,
    low=0.0,
    high=1.0,
    score=score,
    explain=lambda value, threshold: "YuNet sees a face with confidence {}, above {}.".format(
        *apart(value, threshold, 2)
    ),
    weights=WEIGHTS,
    long_side=_LONG_SIDE,
)
