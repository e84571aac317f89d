"""Survivors to squares: where they are cut, how they are reduced, which are held out.

All of it is arithmetic on sizes, hashes and a seed; pixels are touched by `cut` alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image

from tagloom.artifacts.dataset import Crop, Square

__all__ = ["RESIZE_FILTER", "SquareId", "cut", "held_out", "squares"]

RESIZE_FILTER = f"Pillow {PIL.__version__} LANCZOS on uint8 sRGB, each square cut before resizing"
"""Pillow widens its kernel by the reduction's ratio, so this one does not alias (Parmar, Zhang and
Zhu, "On aliased resizing", CVPR 2022). Cutting first keeps a square free of its neighbours'
pixels: a kernel at the edge would otherwise carry held-out pixels into training."""

SquareId = tuple[str, int]
"""(SHA-256 of the image, index of the square within it)"""


def squares(
    width: int, height: int, crop: Crop, resolution: int, focus: float = 0.5
) -> list[Square]:
    """The squares to cut from an image of this size, row by row.

    center: the largest centred square. subject: the largest square, at `focus` along the longer
    side (0: its beginning, 1: its end). tiles: as many squares of `tile_size` (0: `resolution`)
    as fit; an image too small for one gives its largest centred square instead (it passed the
    resolution check, which allows less than the full size). Without `overlap` tiles touch and
    their grid is centred. With it there are as many as can be spread evenly from edge to edge
    without sharing more than `overlap` of their side with the next one; along a side where that
    gives no more than touching tiles do, they touch.
    """
    short = min(width, height)
    if short < 1:
        return []
    if crop.mode != "tiles":
        at = focus if crop.mode == "subject" else 0.5
        return [Square(left=int(at * (width - short)), top=int(at * (height - short)), side=short)]
    side = min(crop.tile_size or resolution, short)
    return [
        Square(left=left, top=top, side=side)
        for top in _starts(height, side, crop.overlap)
        for left in _starts(width, side, crop.overlap)
    ]


def _starts(length: int, side: int, overlap: float) -> list[int]:
    """Where tiles of `side` begin along a side of `length` px (both ≥ 1, length ≥ side)."""
    count, rest = divmod(length, side)
    step = max(1, math.ceil(side * (1 - overlap)))
    more = 1 + (length - side) // step
    if more <= count:
        first = rest // 2
        return [first + side * index for index in range(count)]
    return [index * (length - side) // (more - 1) for index in range(more)]


def cut(rgb: npt.NDArray[np.uint8], square: Square, output_size: int) -> Image.Image:
    """The square of `rgb` [h, w, 3], `output_size` px wide and high."""
    right, bottom = square.left + square.side, square.top + square.side
    image = Image.fromarray(np.ascontiguousarray(rgb[square.top : bottom, square.left : right]))
    if square.side == output_size:
        return image
    return image.resize((output_size, output_size), Image.Resampling.LANCZOS)


def held_out(
    ids: Sequence[SquareId], ratio: float, seed: int, *, whole_images: bool = False
) -> frozenset[SquareId]:
    """Which squares are kept from training: round(ratio * n), but at least one and never all.

    Chosen by a hash of seed and id, so that the choice depends on neither order nor machine, and
    adding an image changes it little. Squares that do not overlap share no pixel; but tiles of one
    photo touch, and a held-out tile resembles its neighbours: a score against held-out tiles tells
    memorising apart less strictly than one against other photos would.

    whole_images: all squares of an image go to one side, as they must where they overlap.
    """
    if whole_images:
        images = [(sha256, 0) for sha256 in dict.fromkeys(sha256 for sha256, _ in ids)]
        aside = {sha256 for sha256, _ in held_out(images, ratio, seed)}
        return frozenset(square for square in ids if square[0] in aside)
    if ratio <= 0 or len(ids) < 2:
        return frozenset()
    count = min(max(1, round(ratio * len(ids))), len(ids) - 1)
    return frozenset(sorted(ids, key=lambda square: _rank(square, seed))[:count])


def _rank(square: SquareId, seed: int) -> bytes:
    sha256, index = square
    return hashlib.sha256(f"{seed}/{sha256}/{index}".encode()).digest()
