"""One image, in a worker process: decoded in full and cut into its squares."""

from __future__ import annotations

from dataclasses import dataclass

from services.filter.archive import encode_png
from services.filter.crop import Square, cut
from services.filter.decode import Undecodable, decode
from services.filter.images import read_image
from services.filter.processes import worker_store
from tagloom.errors import DataLoss

__all__ = ["ToCut", "cut_image"]


@dataclass(frozen=True, slots=True)
class ToCut:
    """An image, and where to cut it."""

    sha256: str
    squares: tuple[Square, ...]
    output_size: int
    """px"""


def cut_image(piece: ToCut) -> list[bytes]:
    """The squares as PNG files. Raises DataLoss, as `read_image` does."""
    try:
        photo = decode(read_image(worker_store(), piece.sha256))
    except Undecodable as error:
        raise DataLoss(
            f"The image {piece.sha256} could be scored but not decoded in full: {error.detail}",
            reason="IMAGE_DAMAGED",
            sha256=piece.sha256,
        ) from error
    return [encode_png(cut(photo.rgb, square, piece.output_size)) for square in piece.squares]
