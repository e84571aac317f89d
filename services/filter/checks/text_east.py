"""Is there prominent text, by EAST?

"EAST: an efficient and accurate scene text detector" (Zhou et al., CVPR 2017, arXiv:1704.03155),
the network of the seed study, run by OpenCV with weights that the user brings: the file
`frozen_east_text_detection.pb` that OpenCV's text samples name. Off unless asked for: the check
`text` finds more with fewer false ones.

Score: share of the photo's area that boxes cover, 0..1, unit `ratio`, at 640 px on the longer side;
the number of boxes is in the detail. A box counts from a confidence of 0.5.

Known failures: the study saw dark edges on a light ground taken for text.
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
    environment="TAGLOOM_EAST_WEIGHTS",
    what="EAST's weights",
    where="frozen_east_text_detection.pb, which OpenCV's text detection sample names",
)
_LONG_SIDE = 640
_STRIDE = 32
_CONFIDENCE = 0.5
_OVERLAP = 0.4
_MEAN = (123.68, 116.78, 103.94)
"""of ImageNet, RGB, which the network was trained with"""


@cache
def _network(path: Path) -> Any:
    try:
        network = cv2.dnn.TextDetectionModel_EAST(str(path))
    except (cv2.error, SystemError) as error:  # the latter around the former, at times
        raise WEIGHTS.unfit(path) from error
    network.setConfidenceThreshold(_CONFIDENCE)
    network.setNMSThreshold(_OVERLAP)
    return network


def score(photo: Photo) -> Score:
    """Share of the area covered by text."""
    rgb = photo.fit(_LONG_SIDE)
    h, w = (max(_STRIDE, round(side / _STRIDE) * _STRIDE) for side in rgb.shape[:2])
    bgr = np.ascontiguousarray(cv2.resize(rgb, (w, h), interpolation=cv2.INTER_AREA)[..., ::-1])
    path = WEIGHTS.path()
    network = _network(path)
    network.setInputParams(1.0, (w, h), _MEAN, True)
    try:
        quads, confidences = network.detect(bgr)
    except (cv2.error, SystemError) as error:
        raise WEIGHTS.unfit(path) from error
    cover = np.zeros((h, w), np.uint8)
    boxes = []
    for quad, confidence in zip(quads, confidences, strict=True):
        corners = np.asarray(quad, np.float32)
        cv2.fillPoly(cover, [np.round(corners).astype(np.int32)], (1,))
        x = np.clip(corners[:, 0] / w, 0, 1) * photo.width
        y = np.clip(corners[:, 1] / h, 0, 1) * photo.height
        boxes.append(
            Box(
                left=round(float(x.min()), 1),
                top=round(float(y.min()), 1),
                right=round(float(x.max()), 1),
                bottom=round(float(y.max()), 1),
                score=round(float(confidence), 4),
            )
        )
    boxes.sort(key=lambda box: (box.top, box.left))
    count = f"{len(boxes)} box{'es' * (len(boxes) != 1)} of text" if boxes else ""
    return Score(float(cover.mean()), tuple(boxes), count)


CHECK = Check(
    name="text_east",
    version="1",
    unit="ratio",
    minimum=False,
    threshold=0.02,
    low=0.0,
    high=1.0,
    score=score,
    explain=lambda value, threshold: "EAST sees text on {} of the photo, above {}.".format(
        *apart(value, threshold, 1, "%")
    ),
    weights=WEIGHTS,
    long_side=_LONG_SIDE,
)
