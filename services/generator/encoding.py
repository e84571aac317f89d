"""An image as bytes: PNG, or NumPy's own format before any rounding."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from services.generator.points import Format
from tagloom.networks.sampling import to_pixels

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
    pixels = to_pixels(torch.from_numpy(image_CHW)).permute(1, 2, 0).numpy()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()
