"""A real video, made where it is needed: none lies in the repository."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import cv2
import numpy as np

__all__ = ["film"]


@cache
def film() -> bytes:
    """Three seconds of 160 x 120 px, ten frames each, from dark to light: frame k has level 8 k."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/film.mp4"
        writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"mp4v"), 10, (160, 120))
        for number in range(30):
            writer.write(np.full((120, 160, 3), number * 8, np.uint8))
        writer.release()
        return Path(path).read_bytes()
