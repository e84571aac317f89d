"""Sets of images to measure: the squares of a dataset, and folders.

A set is read lazily, in a fixed order, as 8-bit RGB, decoded as the reference tools decode
(Pillow, converted to RGB; orientation tags are not applied). Every image counts: one that cannot
be read is an error that names it, because a score over silently fewer images would be another
score.
"""

from __future__ import annotations

import abc
import contextlib
import hashlib
import io
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from tagloom.errors import DataLoss, FailedPrecondition, InvalidArgument, PermissionDenied
from tagloom.store.interface import Store

__all__ = ["MAX_PIXELS", "FolderImages", "ImageSet", "ZipImages"]

MAX_PIXELS: Final = 64_000_000
"""images of more pixels are refused before they are decoded (192 MB as RGB)"""

_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
# Pillow cuts deeper pixels down to 8 bits wrongly (it clips) or not at all.
_EIGHT_BIT_MODES: Final = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})


class ImageSet(abc.ABC):
    """Images in a fixed order."""

    description: str
    """names the set in messages"""

    @property
    @abc.abstractmethod
    def content_sha256(self) -> str:
        """Digest of what the set holds: equal digests mean equal features."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """How many images there are."""

    @abc.abstractmethod
    def __iter__(self) -> Iterator[torch.Tensor]:
        """Each image as uint8 RGB [3, H, W].

        Raises at the first one that cannot be read: DataLoss (DATASET_DAMAGED) in the store,
        InvalidArgument (IMAGE_UNREADABLE) in a folder.
        """


class ZipImages(ImageSet):
    """The PNGs of a zip in the store, by name (the StyleGAN layout of datasets)."""

    def __init__(self, store: Store, key: str, content_sha256: str, description: str) -> None:
        """`content_sha256` is what the dataset's manifest says of the object at `key`.

        Raises DataLoss (DATASET_DAMAGED) when it is no zip, FailedPrecondition (NO_IMAGES) when it
        holds no PNG.
        """
        self.description = description
        self._store, self._key, self._sha256 = store, key, content_sha256
        with self._open() as archive:
            self._names = sorted(
                info.filename
                for info in archive.infolist()
                if not info.is_dir() and info.filename.lower().endswith(".png")
            )
        if not self._names:
            raise FailedPrecondition(
                f"There is no image in {description}: make the dataset again with photos that "
                "pass its filter.",
                reason="NO_IMAGES",
                key=key,
            )

    @property
    def content_sha256(self) -> str:
        return self._sha256

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[torch.Tensor]:
        with self._open() as archive:
            for name in self._names:
                try:
                    image_CHW = _decode(io.BytesIO(archive.read(name)))  # CRC-32 is checked
                except _Unreadable as error:
                    raise self._damaged(f"{name}: {error}") from error
                yield image_CHW

    @contextlib.contextmanager
    def _open(self) -> Iterator[zipfile.ZipFile]:
        try:
            with self._store.open(self._key) as stream, zipfile.ZipFile(stream) as archive:
                yield archive
        # RuntimeError: an encrypted entry; NotImplementedError: an unknown compression.
        except (zipfile.BadZipFile, EOFError, RuntimeError, zlib.error) as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, why: str) -> DataLoss:
        return DataLoss(
            f"{self.description} is damaged ({why}): make the dataset again.",
            reason="DATASET_DAMAGED",
            key=self._key,
        )


class FolderImages(ImageSet):
    """The PNG, JPEG, WebP and BMP files below a folder, in the order of their paths."""

    def __init__(self, folder: Path) -> None:
        """List the folder, which exists; other files are passed over.

        Raises PermissionDenied (LINK_LEAVES_FOLDER) for a link to something outside,
        FailedPrecondition (NO_IMAGES) when no image is there.
        """
        self.description = str(folder)
        root = folder.resolve()
        self._paths = sorted(
            path for path in root.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file()
        )
        for path in self._paths:
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise PermissionDenied(
                    f"{path} is a link to a file outside of the folder: copy the file, or remove "
                    "the link.",
                    reason="LINK_LEAVES_FOLDER",
                    path=path,
                )
        if not self._paths:
            raise FailedPrecondition(
                f"There is no image in {folder}: it needs PNG, JPEG, WebP or BMP files.",
                reason="NO_IMAGES",
                path=folder,
            )
        self._digest = ""

    @property
    def content_sha256(self) -> str:
        """Over the digests of the files in order; reads every file the first time."""
        if not self._digest:
            total = hashlib.sha256()
            for path in self._paths:
                with path.open("rb") as stream:
                    total.update(hashlib.file_digest(stream, "sha256").digest())
            self._digest = total.hexdigest()
        return self._digest

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[torch.Tensor]:
        for path in self._paths:
            try:
                with path.open("rb") as stream:
                    image_CHW = _decode(stream)
            except (_Unreadable, OSError) as error:
                raise InvalidArgument(
                    f"The image {path} cannot be measured ({error}): replace it or take it out.",
                    reason="IMAGE_UNREADABLE",
                    image=path,
                ) from error
            yield image_CHW


class _Unreadable(Exception):
    """Why an image cannot be measured, a clause."""


def _decode(stream: BinaryIO) -> torch.Tensor:
    """uint8 RGB [3, H, W]. Raises _Unreadable."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of oddities that it then copes with
        try:
            with Image.open(stream) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise _Unreadable(f"its {width} x {height} pixels are more than {MAX_PIXELS:,}")
                if image.mode not in _EIGHT_BIT_MODES:
                    raise _Unreadable(f"its mode {image.mode} is not 8 bits a channel")
                rgb_HWC = np.array(image.convert("RGB"))
        except UnidentifiedImageError as error:
            raise _Unreadable("it is not an image that Pillow knows") from error
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise _Unreadable(str(error)) from error
    return torch.from_numpy(rgb_HWC).permute(2, 0, 1).contiguous()
