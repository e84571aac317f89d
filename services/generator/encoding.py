"""An image as bytes: PNG, or NumPy's own format before any rounding."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from services.generator.points import Format

__all__ = ["encode"]


def encode(image_CHW: npt.NDArray[np.float32], format: Format) -> bytes:
    """The image, [C, H, W] of float32 about [-1, 1] with C = 3 or 1, as a file.

    png: 8 bits a channel, rounded as the field does: x * 127.5 + 128, cut to 0..255.
    npy: float32 [1, C, H, W], as it is.
    """
    buffer = io.BytesIO()
    if format == "npy":
        np.save(buffer, image_CHW[None], allow_pickle=False)
        return buffer.getvalue()
    rounded_HWC = (image_CHW * np.float32(127.5) + np.float32(128)).clip(0, 255).astype(np.uint8)
    pixels = rounded_HWC.transpose(1, 2, 0)
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()
