"""How much of a subject stays in the square, cut in the centre or where the subject is?

    python -m benchmarks.subject_crop [--scenes 600] [--seed 7]

Scenes: six subjects of the wheels' photos (boxes by hand), reduced to 40 to 80 % of the height and
pasted with soft edges at a random place of another of the photos, 1.3 to 2 times as wide as high.
Strips: random parts of the six photos themselves, wider than high, which hold the whole subject.
The scenes ask what happens when a subject is not in the centre (and favour edges, since what was
reduced is sharper than its ground); the strips, whether a photo whose subject is there is spoilt.
The weights of the method were chosen on other scenes and strips of the same six subjects.

Rivals: the centre; the sum of edges (Sobel); the spectral residual of the intensity alone, as in
Hou and Zhang's paper. Prints one JSON document: by method the mean share of the subject's width
inside the square (of what could be inside), the share of photos that lose more than a fifth of it,
and milliseconds a photo.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from services.filter.saliency import focus

_SUBJECTS = {
    "chelsea.png": (110, 30, 330, 260),
    "coffee.png": (110, 60, 450, 330),
    "flower.jpg": (190, 20, 560, 420),
    "rocket.jpg": (250, 40, 400, 427),
    "motorcycle_left.png": (60, 100, 690, 480),
    "astronaut.png": (170, 60, 290, 220),
}
_GROUNDS = ("china.jpg", "coffee.png", "flower.jpg", "grass.png", "gravel.png", "brick.png")
_LOST = 0.8

_Rgb = npt.NDArray[np.uint8]


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=600)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    random = np.random.default_rng(arguments.seed)
    sets = {
        "scenes": [_scene(random, index) for index in range(arguments.scenes)],
        "strips": [strip for index in range(arguments.scenes) for strip in _strip(random, index)],
    }
    methods: dict[str, Callable[[_Rgb], float]] = {
        "centre": lambda rgb: 0.5,
        "edges": lambda rgb: _best(_edges(rgb)),
        "spectral residual": lambda rgb: _best(_residual(rgb)),
        "tagloom": focus,
    }
    document: dict[str, Any] = {"subjects": len(_SUBJECTS)}
    for name, photos in sets.items():
        document[name] = {"photos": len(photos)} | {
            each: _measured(method, photos) for each, method in methods.items()
        }
    print(json.dumps(document))


def _measured(
    method: Callable[[_Rgb], float], photos: list[tuple[_Rgb, int, int]]
) -> dict[str, float]:
    shares, times = [], []
    for rgb, left, right in photos:
        start = time.process_time()
        at = method(rgb)
        times.append(1000 * (time.process_time() - start))
        shares.append(_inside(at, rgb, left, right))
    return {
        "mean_share": round(float(np.mean(shares)), 3),
        "lose_a_fifth": round(float(np.mean(np.array(shares) < _LOST)), 3),
        "median_ms": round(statistics.median(times), 2),
    }


def _strip(random: np.random.Generator, index: int) -> list[tuple[_Rgb, int, int]]:
    """A part of a photo with its subject; none where no part is wide enough."""
    name = list(_SUBJECTS)[index % len(_SUBJECTS)]
    left, top, right, bottom = _SUBJECTS[name]
    rgb = _photo(name)
    h, w = rgb.shape[:2]
    width = int(random.integers(min(w, int((right - left) * 1.2)), w + 1))
    height = min(h, max(bottom - top, int(width * random.uniform(0.5, 0.75))))
    if max(0, right - width) > min(left, w - width) or height > 0.9 * width:
        return []
    x = int(random.integers(max(0, right - width), min(left, w - width) + 1))
    y = int(random.integers(max(0, bottom - height), min(top, h - height) + 1))
    return [(rgb[y : y + height, x : x + width], left - x, right - x)]


def _photo(name: str) -> _Rgb:
    package = "sklearn.datasets" if name in ("china.jpg", "flower.jpg") else "skimage"
    folder = "images" if package == "sklearn.datasets" else "data"
    with (files(package) / folder / name).open("rb") as file:
        return np.asarray(Image.open(file).convert("RGB"), np.uint8)


def _scene(random: np.random.Generator, index: int) -> tuple[_Rgb, int, int]:
    name = list(_SUBJECTS)[index % len(_SUBJECTS)]
    left, top, right, bottom = _SUBJECTS[name]
    subject = _photo(name)[top:bottom, left:right]
    grounds = [ground for ground in _GROUNDS if ground != name]
    h = int(random.integers(240, 400))
    w = int(h * random.uniform(1.3, 2.0))
    height = int(h * random.uniform(0.4, 0.8))
    width = int(height * subject.shape[1] / subject.shape[0])
    if width > 0.95 * h:
        width, height = int(0.95 * h), int(height * 0.95 * h / width)
    x, y = int(random.integers(0, w - width)), int(random.integers(0, h - height))
    ground = _photo(grounds[random.integers(len(grounds))])
    rgb = np.asarray(cv2.resize(ground, (w, h), interpolation=cv2.INTER_AREA), np.float32)
    mask = np.pad(np.ones((height - 8, width - 8), np.float32), 4)
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), 2), np.float32)[..., None]
    small = np.asarray(cv2.resize(subject, (width, height), interpolation=cv2.INTER_AREA))
    place = np.s_[y : y + height, x : x + width]
    rgb[place] = rgb[place] * (1 - mask) + small * mask
    return rgb.astype(np.uint8), x, x + width


def _inside(at: float, rgb: _Rgb, left: int, right: int) -> float:
    h, w = rgb.shape[:2]
    start = at * (w - h)
    inside: float = max(0.0, min(right, start + h) - max(left, start)) / min(h, right - left)
    return inside


def _grey(rgb: _Rgb) -> npt.NDArray[np.float64]:
    size = (64, max(8, 64 * rgb.shape[0] // rgb.shape[1]))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.float64)


def _edges(rgb: _Rgb) -> npt.NDArray[np.float64]:
    grey = _grey(rgb)
    across, down = cv2.Sobel(grey, cv2.CV_64F, 1, 0), cv2.Sobel(grey, cv2.CV_64F, 0, 1)
    return np.asarray(np.hypot(across, down), np.float64)


def _residual(rgb: _Rgb) -> npt.NDArray[np.float64]:
    spectrum = np.fft.fft2(_grey(rgb))
    amplitude = np.maximum(np.abs(spectrum), 1e-6)
    log_amplitude = np.log(amplitude)
    residual = np.exp(log_amplitude - cv2.blur(log_amplitude, (3, 3))) * spectrum / amplitude
    power = np.abs(np.fft.ifft2(residual)) ** 2
    return np.asarray(cv2.GaussianBlur(power, (0, 0), 2.5), np.float64)


def _best(values: npt.NDArray[np.float64]) -> float:
    """Where the square of the full height holds most."""
    side, along = int(values.shape[0]), values.sum(axis=0)
    sums = np.concatenate([[0.0], np.cumsum(along)])
    inside = sums[side:] - sums[:-side]
    place = int(np.argmax(inside))
    return place / max(1, len(inside) - 1)


if __name__ == "__main__":
    main()
