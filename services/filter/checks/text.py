"""Is there prominent text?

The text detector of PP-OCRv6 (small), a differentiable-binarisation network (Liao et al., "Real-
time scene text detection with differentiable binarization", arXiv:1911.08947), run by onnxruntime.
The weights (Apache-2.0, PaddleOCR) are a file of the `rapidocr` wheel, taken as they are and
checked by their SHA-256; that package itself is not imported.

The photo is reduced to 480 px on its longer side and never enlarged: text that cannot be seen at
that size is not prominent. Boxes of nearly square blobs are dropped: DB networks take any round
thing on an even ground (a cup, the moon) for one huge character, while a line of text is long.

Score: share of the photo's area that text boxes cover, 0..1, unit `ratio`; the number of boxes is
in the detail. Box scores are the mean text probability inside.

Known failures: single large characters (they look like blobs), text below about 2 % of the
photo's height, curved text in part; rows of regular structure (railings) may count as text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from services.filter.checks.base import Check, Score, apart
from services.filter.decode import Photo
from tagloom.artifacts.dataset import Box
from tagloom.errors import FailedPrecondition

__all__ = ["CHECK", "LINES"]

_Corners = npt.NDArray[np.float32]
"""[4, 2]: x, y"""

_PACKAGE = "rapidocr"
_MODEL = "models/PP-OCRv6_det_small.onnx"
_MODEL_SHA256 = "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f"

_LONG_SIDE = 480
_STRIDE = 32
"""sides of the network's input are multiples of this"""
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)
_PIXEL_PROBABILITY = 0.3
_BOX_PROBABILITY = 0.6
_MIN_BOX_SIDE = 3.0
_MIN_ELONGATION = 2.5
_UNCLIP = 1.6
"""DB learns shrunken text kernels; a box grows by area * ratio / perimeter (Liao et al., eq. 10)"""


def score(photo: Photo) -> Score:
    """Share of the area covered by text."""
    probability = _probability(photo.fit(_LONG_SIDE))
    h, w = probability.shape
    cover = np.zeros((h, w), np.uint8)
    boxes = []
    for corners, mean in _lines(probability):
        cv2.fillPoly(cover, [np.round(corners).astype(np.int32)], (1,))
        x = np.clip(corners[:, 0] / w, 0, 1) * photo.width
        y = np.clip(corners[:, 1] / h, 0, 1) * photo.height
        boxes.append(
            Box(
                left=round(float(x.min()), 1),
                top=round(float(y.min()), 1),
                right=round(float(x.max()), 1),
                bottom=round(float(y.max()), 1),
                score=round(mean, 4),
            )
        )
    boxes.sort(key=lambda box: (box.top, box.left))
    count = f"{len(boxes)} line{'s' * (len(boxes) != 1)} of text" if boxes else ""
    return Score(float(cover.mean()), tuple(boxes), count)


@cache
def _session() -> Any:
    import onnxruntime  # heavy: only processes that score need it

    spec = find_spec(_PACKAGE)
    folders = spec.submodule_search_locations if spec is not None else None
    if not folders:
        raise FailedPrecondition(
            "The text check needs the weights in the package 'rapidocr'; install it with "
            "pip install 'tagloom[filter]', or switch the check off.",
            reason="TEXT_MODEL_MISSING",
        )
    path = Path(folders[0]) / _MODEL
    weights = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(weights).hexdigest() != _MODEL_SHA256:
        raise FailedPrecondition(
            f"The installed 'rapidocr' has another {path.name} than the text check was tuned for; "
            "install the version that tagloom's filter extra names, or switch the check off.",
            reason="TEXT_MODEL_UNKNOWN",
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # one image per process at a time, one process per core
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])


def _probability(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Text probability per pixel [h, w], sides rounded to the network's stride."""
    h, w = (max(_STRIDE, round(side / _STRIDE) * _STRIDE) for side in rgb.shape[:2])
    shrinks = w < rgb.shape[1] or h < rgb.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    bgr = cv2.resize(rgb, (w, h), interpolation=method)[..., ::-1]
    x_NCHW = ((bgr.astype(np.float32) / 255 - _MEAN) / _STD).transpose(2, 0, 1)[None]
    session = _session()
    (y_NCHW,) = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(x_NCHW)})
    return np.asarray(y_NCHW[0, 0], np.float32)


def _lines(probability: npt.NDArray[np.float32]) -> list[tuple[_Corners, float]]:
    """Corners and mean probability of each line of text."""
    contours, _ = cv2.findContours(
        (probability > _PIXEL_PROBABILITY).astype(np.uint8),
        cv2.RETR_LIST,
        cv2.CHAIN_APPROX_SIMPLE,
    )
    lines = []
    for contour in contours:
        center, (w, h), angle = cv2.minAreaRect(contour)
        if min(w, h) < _MIN_BOX_SIDE or max(w, h) < _MIN_ELONGATION * min(w, h):
            continue
        mean = _mean_inside(probability, _corners(center, (w, h), angle))
        if mean < _BOX_PROBABILITY:
            continue
        grow = w * h * _UNCLIP / (w + h)  # both ends of a side together
        lines.append((_corners(center, (w + grow, h + grow), angle), mean))
    return lines


def _corners(center: Sequence[float], size: Sequence[float], angle: float) -> _Corners:
    return np.asarray(cv2.boxPoints((center, size, angle)), np.float32)


def _mean_inside(probability: npt.NDArray[np.float32], corners: _Corners) -> float:
    h, w = probability.shape
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, (w - 1, h - 1))
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int), 0, (w - 1, h - 1))
    mask = np.zeros((bottom - top + 1, right - left + 1), np.uint8)
    cv2.fillPoly(mask, [np.round(corners - (left, top)).astype(np.int32)], (1,))
    return float(cv2.mean(probability[top : bottom + 1, left : right + 1], mask)[0])


CHECK = Check(
    name="text",
    version="1",
    unit="ratio",
    minimum=False,
    threshold=0.006,
    low=0.0,
    high=1.0,
    score=score,
    explain=lambda value, threshold: "Text covers {} of the photo, above {}.".format(
        *apart(value, threshold, 1, "%")
    ),
    long_side=_LONG_SIDE,
)
LINES = Check(
    name="text_lines",
    version=CHECK.version,
    unit="lines",
    minimum=False,
    threshold=6.0,
    low=0.0,
    high=1000.0,
    score=score,
    explain=lambda value, threshold: "There are {} lines of text, more than {}.".format(
        *apart(value, threshold, 0)
    ),
    judged=lambda score, resolution: float(len(score.boxes)),
    measured_by=CHECK.name,
    long_side=_LONG_SIDE,
)
"""How many lines, however small: a watermark is one or two, a menu or a meme is many."""
