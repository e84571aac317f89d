"""How well a generator's details move with its image: EQ-T and EQ-R.

A StyleGAN3 generator is told by its input's transform to move the image; a perfect one makes
exactly the image that moving the picture afterwards would. The difference is given as a peak
signal-to-noise ratio in decibels: 60 dB and more is invisible, below 20 dB details stick to the
pixels.

Source: Karras et al. 2021, "Alias-Free Generative Adversarial Networks", arXiv 2106.12423,
section 2.3, equation 3, and appendix E.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from services.evaluator.generate import seed_inputs
from services.evaluator.image_transforms import (
    fractional_translation,
    integer_translation,
    pseudo_rotation,
    rotation,
)
from tagloom.artifacts.evaluation import EquivarianceMetric, Score
from tagloom.artifacts.labels import Labels
from tagloom.networks.spec import GeneratorSpec

__all__ = ["decibels", "equivariance", "squared_error"]

_MOST_SHIFT: Final = 0.125
_RANGE: Final = 2.0
"""images reach from -1 to 1"""
_BATCH: Final = 16
"""images that share a shift and an angle"""
_SMALLEST: Final = float(np.finfo(np.float32).tiny)
_NORMAL_95: Final = 1.96


def equivariance(
    generator: nn.Module,
    spec: GeneratorSpec,
    metrics: Sequence[EquivarianceMetric],
    count: int,
    device: torch.device,
    advance: Callable[[int], None] = lambda done: None,
    labels: Labels | None = None,
) -> tuple[Score, ...]:
    """One score in decibels for each metric, from the images of seeds 0 to count - 1.

    The interval is a jackknife over batches of 16 images, which share a random shift, uniform in
    +-1/8 of the image, and a random angle. `advance` is told how many images are done. The
    generator must be a StyleGAN3 one; its input's transform is the identity afterwards. `labels`:
    see `seed_inputs`.
    """
    sums: dict[EquivarianceMetric, list[tuple[float, float]]] = {name: [] for name in metrics}
    if not metrics:
        return ()
    for start in range(0, count, _BATCH):
        seeds = range(start, min(start + _BATCH, count))
        random = np.random.RandomState(start)
        tx, ty = random.uniform(-_MOST_SHIFT, _MOST_SHIFT, size=2).tolist()
        angle = float(random.uniform(0, 2 * math.pi))
        z_NZ, c_NC = seed_inputs(seeds, spec, device, labels)
        with torch.inference_mode():
            ws = generator.get_submodule("mapping")(z_NZ, c_NC)
            upright = _synthesize(generator, ws, np.eye(3))
            for name in metrics:
                amount = (angle,) if name == "eqr" else (tx, ty)
                sums[name].append(squared_error(generator, ws, upright, name, *amount))
        advance(seeds.stop)
    return tuple(_score(name, sums[name]) for name in metrics)


def squared_error(
    generator: nn.Module, ws: Tensor, upright: Tensor, metric: EquivarianceMetric, *amount: float
) -> tuple[float, float]:
    """Sum of squared differences, and over how many values, between the two ways to move images.

    upright: the generator's images [N, C, H, W] of ws [N, num_ws, w_dim], not moved.
    amount: (tx, ty) as shares of the image, to the right and down; for eqr the angle in radians.
    """
    if metric == "eqr":
        (angle,) = amount
        moved, mask = rotation(upright, angle)
        cos, sin = math.cos(angle), math.sin(angle)
        turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        generated = _synthesize(generator, ws, turn)
        generated, inside = pseudo_rotation(generated, angle)
        mask = mask * inside
    else:
        tx, ty = amount
        if metric == "eqt_int":  # by just the distance that whole pixels make
            height, width = upright.shape[2:]
            tx, ty = round(tx * width) / width, round(ty * height) / height
            moved, mask = integer_translation(upright, tx, ty)
        else:
            moved, mask = fractional_translation(upright, tx, ty)
        generated = _synthesize(generator, ws, np.array([[1, 0, tx], [0, 1, ty], [0, 0, 1]]))
    squares = (generated - moved).double().square() * mask
    return float(squares.sum()), float(mask.sum()) * moved.shape[0] * moved.shape[1]


def _synthesize(generator: nn.Module, ws: Tensor, matrix: npt.NDArray[np.float64]) -> Tensor:
    """The images of ws with the picture moved by `matrix`, in shares of the image."""
    transform = generator.get_buffer("synthesis.input.transform")
    # The transform is that of the grid, the inverse of the picture's.
    transform.copy_(torch.from_numpy(np.linalg.inv(matrix)))
    try:
        images: Tensor = generator.get_submodule("synthesis")(ws)
        return images
    finally:
        transform.copy_(torch.eye(3))


def decibels(squares: float, values: float) -> float:
    """Peak signal-to-noise ratio of images in [-1, 1]: 10 log10(4 / mean squared error)."""
    return 10 * math.log10(_RANGE**2 / max(squares / values, _SMALLEST))


def _score(metric: EquivarianceMetric, sums: Sequence[tuple[float, float]]) -> Score:
    squares, values = (sum(column) for column in zip(*sums, strict=True))
    value, spread = decibels(squares, values), 0.0
    if len(sums) > 1:
        without = np.array([decibels(squares - s, values - v) for s, v in sums])
        variance = (len(sums) - 1) / len(sums) * np.square(without - without.mean()).sum()
        spread = _NORMAL_95 * math.sqrt(variance)
    return Score(metric=metric, value=value, low=value - spread, high=value + spread)
