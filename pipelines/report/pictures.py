"""Pictures as data URIs: small enough for a page, honest about what was generated."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

from PIL import Image

__all__ = ["Picture", "photo", "sample"]

SAMPLE_SIDE = 128
"""px; larger samples are reduced, smaller ones are embedded as they are"""
CRISP_BELOW = 64
"""px; a sample this small is shown with its pixels, not blurred by the browser"""


@dataclass(frozen=True, slots=True)
class Picture:
    """An `<img>`: what it shows, and where its bytes are (in itself)."""

    uri: str
    alt: str
    width: int
    height: int
    crisp: bool = False


def sample(png: bytes, alt: str, *, max_side: int = SAMPLE_SIDE) -> Picture:
    """A generated image. Up to `max_side` px it stays the very PNG that was generated.

    Larger ones are reduced (Lanczos) and become WebP at quality 85: a page, not an archive.
    """
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        width, height = image.size
        crisp = max(width, height) <= CRISP_BELOW
        if max(width, height) <= max_side:
            return Picture(_uri("image/png", png), alt, width, height, crisp)
        image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=85, method=6)
        return Picture(_uri("image/webp", buffer.getvalue()), alt, *image.size)


def photo(jpeg: bytes, alt: str) -> Picture:
    """A preview as the filter drew it, boxes included."""
    with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
        width, height = image.size
    return Picture(_uri("image/jpeg", jpeg), alt, width, height)


def _uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
