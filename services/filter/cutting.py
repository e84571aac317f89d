"""One image, in a worker process: decoded in full and cut into its squares."""

from __future__ import annotations

from dataclasses import dataclass

from services.filter.archive import encode_png
from services.filter.crop import cut, squares
from services.filter.decode import Undecodable, decode
from services.filter.images import read_image
from services.filter.processes import worker_store
from services.filter.saliency import focus
from tagloom.artifacts.dataset import Box, Crop, Square
from tagloom.errors import DataLoss

__all__ = ["Cut", "ToCut", "cut_image"]


@dataclass(frozen=True, slots=True)
class ToCut:
    """An image, and how to cut it."""

    sha256: str
    crop: Crop
    """with its output size"""
    resolution: int
    """judged for, px"""
    boxes: tuple[Box, ...] = ()
    """faces that were found and let pass: they are part of the subject"""


@dataclass(frozen=True, slots=True)
class Cut:
    """One square, and the PNG that it became."""

    square: Square
    png: bytes


def cut_image(piece: ToCut) -> list[Cut]:
    """The squares as PNG files. Raises DataLoss, as `read_image` does."""
    try:
        photo = decode(read_image(worker_store(), piece.sha256))
    except Undecodable as error:
        raise DataLoss(
            f"The image {piece.sha256} could be scored but not decoded in full: {error.detail}",
            reason="IMAGE_DAMAGED",
            sha256=piece.sha256,
        ) from error
    at = focus(photo.rgb, piece.boxes) if piece.crop.mode == "subject" else 0.5
    found = squares(photo.width, photo.height, piece.crop, piece.resolution, at)
    return [
        Cut(square, encode_png(cut(photo.rgb, square, piece.crop.output_size))) for square in found
    ]
