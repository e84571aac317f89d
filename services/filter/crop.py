"""Survivors to squares: where they are cut, how they are reduced, which are held out.

All of it is arithmetic on sizes, hashes and a seed; pixels are touched by `cut` alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image

from tagloom.artifacts.dataset import Crop

__all__ = ["RESIZE_FILTER", "Square", "SquareId", "cut", "held_out", "squares"]

RESIZE_FILTER = f"Pillow {PIL.__version__} LANCZOS on uint8 sRGB, each square cut before resizing"
"""Pillow widens its kernel by the reduction's ratio, so this one does not alias (Parmar, Zhang and
Zhu, "On aliased resizing", CVPR 2022). Cutting first keeps a square free of its neighbours'
pixels: a kernel at the edge would otherwise carry held-out pixels into training."""

SquareId = tuple[str, int]
"""(SHA-256 of the image, index of the square within it)"""


@dataclass(frozen=True, slots=True)
class Square:
    """A square of source pixels, in the upright image."""

    left: int
    top: int
    side: int


def squares(width: int, height: int, crop: Crop, resolution: int) -> list[Square]:
    """The squares to cut from an image of this size, row by row.

    center: the largest centred square. tiles: as many squares of `tile_size` (0: `resolution`)
    as fit without overlap, the grid centred; an image too small for one gives its largest centred
    square instead (it passed the resolution check, which allows less than the full size).
    """
    short = min(width, height)
    if short < 1:
        return []
    side = short if crop.mode == "center" else min(crop.tile_size or resolution, short)
    across, down = (1, 1) if crop.mode == "center" else (width // side, height // side)
    left, top = (width - across * side) // 2, (height - down * side) // 2
    return [
        Square(left + column * side, top + row * side, side)
        for row in range(down)
        for column in range(across)
    ]


def cut(rgb: npt.NDArray[np.uint8], square: Square, output_size: int) -> Image.Image:
    """The square of `rgb` [h, w, 3], `output_size` px wide and high."""
    right, bottom = square.left + square.side, square.top + square.side
    image = Image.fromarray(np.ascontiguousarray(rgb[square.top : bottom, square.left : right]))
    if square.side == output_size:
        return image
    return image.resize((output_size, output_size), Image.Resampling.LANCZOS)


def held_out(ids: Sequence[SquareId], ratio: float, seed: int) -> frozenset[SquareId]:
    """Which squares are kept from training: round(ratio * n), but at least one and never all.

    Chosen by a hash of seed and id, so that the choice depends on neither order nor machine, and
    adding an image changes it little. Squares never overlap, so the two sets share no pixel; but
    tiles of one photo touch, and a held-out tile resembles its neighbours: a score against
    held-out tiles tells memorising apart less strictly than one against other photos would.
    """
    if ratio <= 0 or len(ids) < 2:
        return frozenset()
    count = min(max(1, round(ratio * len(ids))), len(ids) - 1)
    return frozenset(sorted(ids, key=lambda square: _rank(square, seed))[:count])


def _rank(square: SquareId, seed: int) -> bytes:
    sha256, index = square
    return hashlib.sha256(f"{seed}/{sha256}/{index}".encode()).digest()
