"""Where the subject of a photo is: the largest square follows it along the longer side.

Two maps are averaged, each with the sum 1, on a copy of 64 px along the longer side:

- the spectral residual of each Lab channel (Hou and Zhang, "Saliency detection: a spectral residual
  approach", CVPR 2007): what sticks out of the smooth trend of the log spectrum. Their paper takes
  the intensity alone; the channels here are weighted by their standard deviation.
- the strength of edges, the gradient's magnitude summed over the Lab channels (Sobel): a subject is
  what the photographer focused on.

Boxes that are known to hold what matters (faces, where a profile lets them pass) weigh as much as
both maps together. The square with the largest sum wins, less a small cost for every step from the
centre: photographers aim, and where nothing sticks out the centre is right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from tagloom.artifacts.dataset import Box

__all__ = ["focus", "saliency"]

_Map = npt.NDArray[np.float64]

_LONG_SIDE = 64
"""px; the scale of Hou and Zhang: what is salient is as large as a hand at arm's length"""
_MIN_SIDE = 4
_RESIDUAL_WINDOW = 3
"""px of the box filter over the log spectrum (Hou and Zhang, eq. 3)"""
_SMOOTHING = 2.5
"""px, standard deviation over the saliency map"""
_CENTRE_COST = 0.02
"""share of the whole saliency that a square must gain to lie at the very end of the photo"""


def saliency(rgb: npt.NDArray[np.uint8]) -> _Map:
    """How much each part of a photo [h, w, 3] sticks out: at most 64 px wide and high, sum 1."""
    h, w = rgb.shape[:2]
    ratio = min(1.0, _LONG_SIDE / max(h, w))
    size = tuple(max(_MIN_SIDE, round(side * ratio)) for side in (w, h))
    lab = cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2LAB)
    channels = lab.astype(np.float64)
    return (_normed(_spectral_residual(channels)) + _normed(_edges(channels))) / 2


def focus(rgb: npt.NDArray[np.uint8], boxes: Sequence[Box] = ()) -> float:
    """Where the largest square lies best along the longer side: 0 (its beginning) to 1 (its end).

    rgb: the photo [h, w, 3], in whose pixels the `boxes` are.
    """
    attention = saliency(rgb)
    if boxes:
        attention = (attention + _normed(_inside(boxes, attention.shape, rgb.shape))) / 2
    along = attention.sum(axis=0 if attention.shape[1] >= attention.shape[0] else 1)
    side = int(min(attention.shape))
    places = len(along) - side
    if places < 1:
        return 0.5
    sums = np.concatenate([[0.0], np.cumsum(along, dtype=np.float64)])
    inside = sums[side:] - sums[:-side]
    off_centre = np.abs(np.linspace(-1, 1, places + 1))
    best = int(np.argmax(inside - _CENTRE_COST * off_centre))
    return best / places


def _spectral_residual(channels_HWC: npt.NDArray[np.float64]) -> _Map:
    total = np.zeros(channels_HWC.shape[:2])
    for channel in np.moveaxis(channels_HWC, -1, 0):
        weight = float(channel.std())
        if weight < 1e-3:
            continue  # nothing to see, and no spectrum to divide by
        spectrum = np.fft.fft2(channel)
        amplitude = np.maximum(np.abs(spectrum), 1e-6)
        log_amplitude = np.log(amplitude)
        trend = cv2.blur(log_amplitude, (_RESIDUAL_WINDOW, _RESIDUAL_WINDOW))
        residual = np.exp(log_amplitude - trend) * spectrum / amplitude
        power = np.abs(np.fft.ifft2(residual)) ** 2
        smooth = np.asarray(cv2.GaussianBlur(power, (0, 0), _SMOOTHING), np.float64)
        total += weight * smooth / max(float(smooth.max()), 1e-12)
    return total


def _edges(channels_HWC: npt.NDArray[np.float64]) -> _Map:
    across = np.asarray(cv2.Sobel(channels_HWC, cv2.CV_64F, 1, 0), np.float64)
    down = np.asarray(cv2.Sobel(channels_HWC, cv2.CV_64F, 0, 1), np.float64)
    strength: _Map = np.hypot(across, down).sum(axis=2)
    return strength


def _inside(boxes: Sequence[Box], shape: tuple[int, ...], photo: tuple[int, ...]) -> _Map:
    cover = np.zeros(shape)
    y, x = (shape[axis] / photo[axis] for axis in (0, 1))
    for box in boxes:
        top, left = int(box.top * y), int(box.left * x)
        bottom, right = math.ceil(box.bottom * y), math.ceil(box.right * x)
        cover[top:bottom, left:right] = 1
    return cover


def _normed(values: _Map) -> _Map:
    total = float(values.sum())
    return values / total if total > 0 else np.full_like(values, 1 / values.size)
