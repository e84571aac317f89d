"""Where in latent space an image lies, at a seed or between seeds, and what is asked for there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from services.generator.appearance import AS_IT_IS, Rendering
from tagloom.errors import InvalidArgument

__all__ = [
    "MOST_FRAMES_PER_SEED",
    "MOST_PATH_SEEDS",
    "MOST_SEEDS",
    "Format",
    "Mixed",
    "Order",
    "Point",
    "closed_path",
    "mixed_points",
    "seed_points",
]

MOST_SEEDS = 10_000
MOST_PATH_SEEDS = 100
MOST_FRAMES_PER_SEED = 240

Format = Literal["png", "npy"]


@dataclass(frozen=True, slots=True)
class Point:
    """A weighted sum of the intermediate latents w of some seeds; the weights sum to 1."""

    seeds: tuple[int, ...]
    weights: tuple[float, ...]
    mixed: Mixed | None = None


@dataclass(frozen=True, slots=True)
class Mixed:
    """Style mixing: these layers take the w of another seed (StyleGAN, arXiv 1812.04948, 3.1)."""

    seed: int
    layers: tuple[int, ...]
    """from 0"""


@dataclass(frozen=True, slots=True)
class Order:
    """One image to make."""

    point: Point
    truncation_psi: float
    format: Format
    rendering: Rendering = AS_IT_IS


def seed_points(seeds: Sequence[int]) -> list[Point]:
    """The point of each seed.

    Raises InvalidArgument (SEEDS_MISSING, SEEDS_TOO_MANY).
    """
    if not seeds:
        raise InvalidArgument(
            "The request names no seed; give at least one, for example 0.",
            reason="SEEDS_MISSING",
            field="seeds",
        )
    if len(seeds) > MOST_SEEDS:
        raise InvalidArgument(
            f"The request has {len(seeds)} seeds; send at most {MOST_SEEDS} in each.",
            reason="SEEDS_TOO_MANY",
            field="seeds",
        )
    return [Point((seed,), (1.0,)) for seed in seeds]


def mixed_points(seeds: Sequence[int], others: Sequence[int], layers: Sequence[int]) -> list[Point]:
    """Each of `seeds` with each of `others` in those layers, in order.

    Raises InvalidArgument (SEEDS_MISSING, SEEDS_TOO_MANY, LAYERS_INVALID).
    """
    if not others:
        raise InvalidArgument(
            "The request mixes styles with no seed; name at least one to mix with.",
            reason="SEEDS_MISSING",
            field="mixing.seeds",
        )
    if not layers:
        raise InvalidArgument(
            "The request mixes styles in no layer; name the layers that take the other seed's "
            "style, for example 0 to 6.",
            reason="LAYERS_INVALID",
            field="mixing.layers",
        )
    points = seed_points(seeds)
    if len(points) * len(others) > MOST_SEEDS:
        raise InvalidArgument(
            f"{len(points)} seeds mixed with {len(others)} make {len(points) * len(others)} "
            f"images; ask for at most {MOST_SEEDS} in each request.",
            reason="SEEDS_TOO_MANY",
            field="mixing.seeds",
        )
    mixes = [Mixed(seed, tuple(sorted(set(layers)))) for seed in others]
    return [replace(point, mixed=mixed) for point in points for mixed in mixes]


def closed_path(seeds: Sequence[int], frames_per_seed: int) -> Iterator[Point]:
    """`len(seeds) * frames_per_seed` points on a smooth closed path through the seeds, in order.

    The path is a uniform Catmull-Rom spline in w (Catmull and Rom, 1974): it goes through each
    seed's w, with a continuous velocity, and each frame needs four seeds only. In w, not in z:
    there a straight line stays among the images that the network knows (Karras et al. 2019,
    section 4). Every `frames_per_seed`-th frame is the image of a seed, to the bit.

    Raises InvalidArgument (SEEDS_TOO_FEW, SEEDS_TOO_MANY, FRAMES_INVALID).
    """
    number = len(seeds)
    if number < 2:
        raise InvalidArgument(
            f"A path needs at least 2 seeds, and the request has {number}; add some.",
            reason="SEEDS_TOO_FEW",
            field="seeds",
        )
    if number > MOST_PATH_SEEDS:
        raise InvalidArgument(
            f"The path goes through {number} seeds; send at most {MOST_PATH_SEEDS}.",
            reason="SEEDS_TOO_MANY",
            field="seeds",
        )
    if not 1 <= frames_per_seed <= MOST_FRAMES_PER_SEED:
        raise InvalidArgument(
            f"frames_per_seed is {frames_per_seed}; write a number from 1 to "
            f"{MOST_FRAMES_PER_SEED}, or leave it out for 8.",
            reason="FRAMES_INVALID",
            field="frames_per_seed",
        )
    return _path(seeds, frames_per_seed)


def _path(seeds: Sequence[int], frames_per_seed: int) -> Iterator[Point]:
    number = len(seeds)
    for start in range(number):
        neighbours = [seeds[(start + offset) % number] for offset in (-1, 0, 1, 2)]
        for frame in range(frames_per_seed):
            t = frame / frames_per_seed
            weights = (
                ((-0.5 * t + 1.0) * t - 0.5) * t,
                (1.5 * t - 2.5) * t * t + 1.0,
                ((-1.5 * t + 2.0) * t + 0.5) * t,
                (0.5 * t - 0.5) * t * t,
            )
            used = [(s, w) for s, w in zip(neighbours, weights, strict=True) if w != 0.0]
            yield Point(tuple(s for s, _ in used), tuple(w for _, w in used))
