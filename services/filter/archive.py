"""The zip that StyleGAN trainers read: stored PNGs `00000/img00000000.png`, and `dataset.json`.

`dataset.json` holds `{"labels": null}`, or for classes `{"labels": [[name, number], …]}`, to which
their names are added (`"classes"`); readers of the format pass over them.

The bytes depend on the images, their labels and their order alone: no compression (its output
changes with the zlib version), fixed times and attributes. So the SHA-256 of the file names the
dataset's content.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

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

    def __init__(self, path: Path, classes: Sequence[str] = (), *, vectors: bool = False) -> None:
        """classes: their names in the order of their numbers. vectors: labels are lists of numbers
        instead. Without either, no image has a label."""
        self._path = path
        self._classes = tuple(classes)
        self._numbers = {name: number for number, name in enumerate(classes)}
        self._vectors = vectors
        self._labels: list[tuple[str, int | Sequence[float]]] = []
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
            document: dict[str, Any] = {"labels": None}
            if self._vectors:
                document = {"labels": self._labels}
            elif self._classes:
                document = {"labels": self._labels, "classes": self._classes}
            self._write("dataset.json", json.dumps(document).encode())
        self._zip.close()

    def add(self, png: bytes, label: str | Sequence[float] = "") -> str:
        """Appends one image, with the name of its class or its numbers where there are labels;
        returns its name."""
        index = f"{self.count:08d}"
        name = f"{index[:5]}/img{index}.png"
        if self._vectors and not isinstance(label, str):
            self._labels.append((name, label))
        elif self._classes and isinstance(label, str):
            self._labels.append((name, self._numbers[label]))
        self._write(name, png)
        self.count += 1
        return name

    def sha256(self) -> str:
        """Of the finished file."""
        with self._path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _write(self, name: str, data: bytes) -> None:
        entry = zipfile.ZipInfo(name, _EPOCH)
        entry.create_system = _UNIX
        entry.external_attr = _READABLE
        self._zip.writestr(entry, data)
