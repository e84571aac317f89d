"""The zip that StyleGAN trainers read: stored PNGs `00000/img00000000.png`, and `dataset.json`.

The bytes depend on the images and their order alone: no compression (its output changes with the
zlib version), fixed times and attributes. So the SHA-256 of the file names the dataset's content.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Self

from PIL import Image

__all__ = ["DatasetZip", "encode_png"]

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""the earliest time that a zip can hold"""
_UNIX = 3
_READABLE = 0o100644 << 16


def encode_png(image: Image.Image) -> bytes:
    """An uncompressed PNG of an RGB image as `crop.cut` makes it: without metadata."""
    sink = io.BytesIO()
    image.save(sink, "PNG", compress_level=0)
    return sink.getvalue()


class DatasetZip:
    """Writes one archive, image by image, in constant memory. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED)
        self.count = 0
        """images so far"""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._write("dataset.json", json.dumps({"labels": None}).encode())
        self._zip.close()

    def add(self, png: bytes) -> None:
        """Appends one image."""
        index = f"{self.count:08d}"
        self._write(f"{index[:5]}/img{index}.png", png)
        self.count += 1

    def sha256(self) -> str:
        """Of the finished file."""
        with self._path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _write(self, name: str, data: bytes) -> None:
        entry = zipfile.ZipInfo(name, _EPOCH)
        entry.create_system = _UNIX
        entry.external_attr = _READABLE
        self._zip.writestr(entry, data)
