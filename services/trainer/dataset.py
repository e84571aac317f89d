"""Training images: read once, shuffled forever, the same way after every restart."""

from __future__ import annotations

import functools
import hashlib
import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from services.trainer.draws import keyed_generator
from tagloom.artifacts import layout
from tagloom.artifacts.dataset import Dataset
from tagloom.artifacts.labels import Labels, image_names, read_labels
from tagloom.errors import DataLoss, FailedPrecondition
from tagloom.store.interface import ObjectNotFound, Store

__all__ = ["Sampler", "TrainingImages", "load_held_out", "load_images"]

_IN_MEMORY_BYTES = 2 * 2**30


class TrainingImages:
    """uint8 images [N, 3, H, W], in memory, or in a temporary file when they are many."""

    def __init__(self, images_NCHW: NDArray[np.uint8], labels: Labels | None = None) -> None:
        self._images = images_NCHW
        self.labels = labels
        """one for each image; None where they were not asked for, or there are none"""

    def __len__(self) -> int:
        return len(self._images)

    @property
    def resolution(self) -> int:
        """Side in pixels."""
        return int(self._images.shape[2])

    def batch(self, indices: NDArray[np.int64], mirrored: NDArray[np.bool_]) -> Tensor:
        """[B, 3, H, W] float32 in [-1, 1]; those mirrored are flipped left to right."""
        images = self._images[indices]
        if mirrored.any():
            images[mirrored] = images[mirrored][:, :, :, ::-1]
        return torch.from_numpy(images).to(torch.float32).div_(127.5).sub_(1)

    def pixels(self, indices: NDArray[np.int64]) -> Tensor:
        """[B, 3, H, W] uint8, as stored."""
        return torch.from_numpy(self._images[indices])

    def labels_of(self, indices: NDArray[np.int64]) -> Tensor | None:
        """[B, c_dim] float32 of these images, mirrored or not; None without labels."""
        return None if self.labels is None else torch.from_numpy(self.labels.rows(indices))


class Sampler:
    """An endless shuffle: each epoch has every image once, in an order that the seed fixes.

    What lies at a position depends on the seed, the position and the number of images alone.
    With `mirror` an epoch has every image twice, once mirrored.
    """

    def __init__(self, images: int, *, seed: int, mirror: bool) -> None:
        self._images = images
        self._epoch_size = images * 2 if mirror else images
        self._seed = seed
        self._order = functools.lru_cache(maxsize=2)(self._shuffle)

    def _shuffle(self, epoch: int) -> NDArray[np.int64]:
        return keyed_generator(self._seed, "shuffle", 0, epoch).permutation(self._epoch_size)

    def at(self, position: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Indices of the images at [position, position + count), and whether each is mirrored."""
        places = np.arange(position, position + count)
        epochs, offsets = np.divmod(places, self._epoch_size)
        drawn = np.empty(count, dtype=np.int64)
        for epoch in np.unique(epochs):
            mask = epochs == epoch
            drawn[mask] = self._order(int(epoch))[offsets[mask]]
        return drawn % self._images, drawn >= self._images


def load_images(store: Store, dataset: Dataset, *, label_size: int = 0) -> TrainingImages:
    """All training images of a dataset, checked against its manifest.

    label_size: numbers of a label, for the labels too; 0: without labels.
    Raises FailedPrecondition (DATASET_EMPTY) without an image; DataLoss (DATASET_DAMAGED) when the
    archive is missing, is not the one that the manifest names, or holds something else than square
    images of one size; FailedPrecondition (LABELS_INVALID).
    """
    key = layout.dataset_images(dataset.id, dataset.files)
    return _load(store, f"datasets/{dataset.id}", key, dataset.content_sha256, label_size)


def load_held_out(store: Store, dataset: Dataset, *, label_size: int = 0) -> TrainingImages | None:
    """The images held out from training; None if there are none. Raises as `load_images`.

    They may be without labels where the training images have some.
    """
    if not dataset.held_out:
        return None
    key = layout.dataset_held_out(dataset.id, dataset.files)
    return _load(store, f"datasets/{dataset.id}", key, dataset.held_out_sha256, label_size)


def _load(store: Store, name: str, key: str, sha256: str, label_size: int) -> TrainingImages:
    with tempfile.TemporaryDirectory(prefix="tagloom-dataset-") as folder:
        path = Path(folder, "images.zip")
        try:
            store.get_file(key, path)
        except ObjectNotFound as error:
            raise _damaged(name, f"{key} is missing") from error
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != sha256:
            raise _damaged(name, f"{key} is not the archive that its manifest names")
        try:
            with zipfile.ZipFile(path) as archive:
                members = image_names(archive)
                images = _decode(archive, members, name)
                labels = None
                if label_size:
                    labels = read_labels(archive, members, name, size=label_size)
                return TrainingImages(images, labels)
        except zipfile.BadZipFile as error:
            raise _damaged(name, f"{key} is not a zip archive") from error


def _decode(archive: zipfile.ZipFile, members: list[str], name: str) -> NDArray[np.uint8]:
    if not members:
        raise FailedPrecondition(
            f"{name} has no training image; filter with lower thresholds or collect more.",
            reason="DATASET_EMPTY",
            resource=name,
        )
    images: NDArray[np.uint8] | None = None
    for index, member in enumerate(members):
        try:
            with Image.open(io.BytesIO(archive.read(member)), formats=["PNG"]) as image:
                size = image.size
                if images is None:
                    images = _room(len(members), size[0])
                expected = images.shape[2]
                if size != (expected, expected):
                    raise _damaged(
                        name,
                        f"{member} has {size[0]} x {size[1]} pixels, not {expected} x {expected}",
                    )
                images[index] = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
        except (UnidentifiedImageError, OSError, zipfile.BadZipFile) as error:
            raise _damaged(name, f"{member} cannot be decoded") from error
    assert images is not None
    return images


def _room(count: int, side: int) -> NDArray[np.uint8]:
    shape = (count, 3, side, side)
    if count * 3 * side * side <= _IN_MEMORY_BYTES:
        return np.empty(shape, dtype=np.uint8)
    # The file has no name: the system removes it with the last reference, whatever happens.
    with tempfile.TemporaryFile(prefix="tagloom-images-") as file:
        room: np.memmap[Any, np.dtype[np.uint8]] = np.memmap(
            file, dtype=np.uint8, mode="w+", shape=shape
        )
    return room


def _damaged(name: str, what: str) -> DataLoss:
    return DataLoss(
        f"The images of {name} are damaged: {what}; filter its collection again.",
        reason="DATASET_DAMAGED",
        resource=name,
    )
