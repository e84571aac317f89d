"""Labels of a dataset's images: the `labels` of `dataset.json` in the StyleGAN layout.

    {"labels": [["00000/img00000000.png", 2], ["00000/img00000001.png", 0]]}

A label is a class (0, 1, 2, ...), which becomes a one-hot vector, or a list of numbers, the same
number of them for every image. Names that are no image of the archive do not count.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from tagloom.artifacts import layout
from tagloom.artifacts.dataset import Dataset
from tagloom.errors import DataLoss, FailedPrecondition
from tagloom.store.interface import ObjectNotFound, Store

__all__ = ["MAX_LABEL_SIZE", "Labels", "dataset_labels", "image_names", "read_labels"]

MAX_LABEL_SIZE: Final = 10_000
"""classes, or numbers of a label: more is a mistake, not a data set"""

_FILE: Final = "dataset.json"
_LARGEST: Final = float(np.finfo(np.float32).max)


class Labels:
    """One label for each image, in the order of the images."""

    def __init__(
        self,
        *,
        classes: NDArray[np.int64] | None = None,
        size: int = 0,
        vectors: NDArray[np.float32] | None = None,
    ) -> None:
        """Either classes [N] of `size` ones, or vectors [N, size]."""
        assert (classes is None) != (vectors is None)
        self._classes, self._vectors = classes, vectors
        self.size = size if vectors is None else vectors.shape[1]
        """c_dim: numbers of a label"""

    def __len__(self) -> int:
        rows = self._classes if self._vectors is None else self._vectors
        assert rows is not None
        return len(rows)

    def rows(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """[B, size] float32: the labels of these images."""
        if self._vectors is not None:
            return self._vectors[indices]
        assert self._classes is not None
        return self._one_hot(self._classes[indices])

    def of_seeds(self, seeds: Iterable[int]) -> NDArray[np.float32]:
        """[B, size]: for each seed the label of a random image, so they follow the dataset.

        The image's number is drawn by Philox from the seed alone.
        """
        drawn = [
            np.random.Generator(np.random.Philox(key=seed % 2**64)).integers(len(self))
            for seed in seeds
        ]
        return self.rows(np.array(drawn, dtype=np.int64))

    def in_turn(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        """[B, size]: class `seed` modulo `size`, as the generator service chooses it.

        Labels that are no classes: that of image `seed` modulo their number.
        """
        numbers = np.array(seeds, dtype=np.int64)
        if self._vectors is not None:
            return self.rows(numbers % len(self))
        return self._one_hot(numbers % self.size)

    def _one_hot(self, classes: NDArray[np.int64]) -> NDArray[np.float32]:
        one_hot = np.zeros((len(classes), self.size), dtype=np.float32)
        one_hot[np.arange(len(classes)), classes] = 1
        return one_hot


def dataset_labels(store: Store, dataset: Dataset) -> Labels | None:
    """The labels of a dataset's training images, read without the images; None without labels.

    Raises FailedPrecondition (LABELS_INVALID), DataLoss (DATASET_DAMAGED).
    """
    name, key = f"datasets/{dataset.id}", layout.dataset_images(dataset.id, dataset.files)
    try:
        with store.open(key) as stream, zipfile.ZipFile(stream) as archive:
            return read_labels(archive, image_names(archive), name)
    except ObjectNotFound as error:
        raise _damaged(name, f"{key} is missing") from error
    # RuntimeError: an encrypted entry; NotImplementedError, which is one: an unknown compression.
    except (zipfile.BadZipFile, EOFError, RuntimeError, zlib.error) as error:
        raise _damaged(name, f"{key} cannot be read ({error})") from error


def image_names(archive: zipfile.ZipFile) -> list[str]:
    """The PNGs of an archive in the StyleGAN layout, in the order that training gives them."""
    return sorted(entry for entry in archive.namelist() if entry.lower().endswith(".png"))


def read_labels(
    archive: zipfile.ZipFile, images: Sequence[str], name: str, *, size: int | None = None
) -> Labels | None:
    """The labels of these images of an archive; None if it holds no labels at all.

    name: how errors call the dataset.
    size: what the labels must have; None: as many classes as the largest one needs.
    Raises FailedPrecondition (LABELS_INVALID), DataLoss (DATASET_DAMAGED).
    """
    given = _given(archive, name)
    if not given or not images:
        return None
    missing = [image for image in images if image not in given]
    if missing:
        _refuse(
            name, f"{len(missing)} of {len(images)} images have none, the first is {missing[0]}"
        )
    if all(isinstance(given[image], list) for image in images):
        return _vectors(given, images, name, size)
    return _classes(given, images, name, size)


def _given(archive: zipfile.ZipFile, name: str) -> Mapping[str, Any]:
    """What dataset.json says of each name."""
    try:
        document = json.loads(archive.read(_FILE))
    except KeyError:
        return {}
    except ValueError as error:  # UnicodeDecodeError too
        raise _damaged(name, f"its {_FILE} is not JSON ({error})") from error
    labels = document.get("labels") if isinstance(document, dict) else None
    if labels is None:
        return {}
    if not isinstance(labels, list):
        _refuse(name, '"labels" is not a list of [file name, label]')
    for row in labels:
        if not (isinstance(row, list) and len(row) == 2 and isinstance(row[0], str)):
            _refuse(name, f"{_short(row)} is not a [file name, label]")
    return dict(labels)


def _classes(
    given: Mapping[str, Any], images: Sequence[str], name: str, size: int | None
) -> Labels:
    for image in images:
        label = given[image]
        if type(label) is not int:
            _refuse(
                name,
                f"that of {image} is {_short(label)}, neither a class (0, 1, 2, ...), as others "
                "are, nor for every image a list of numbers",
            )
        highest = (MAX_LABEL_SIZE if size is None else size) - 1
        if not 0 <= label <= highest:
            _refuse(name, f"that of {image} is {label}, but classes go from 0 to {highest}")
    classes = np.array([given[image] for image in images], dtype=np.int64)
    return Labels(classes=classes, size=int(classes.max()) + 1 if size is None else size)


def _vectors(
    given: Mapping[str, Any], images: Sequence[str], name: str, size: int | None
) -> Labels:
    expected = len(given[images[0]]) if size is None else size
    for image in images:
        label = given[image]
        if len(label) != expected:
            _refuse(name, f"that of {image} has {len(label)} numbers, not {expected}")
        if not all(type(value) in (int, float) and abs(value) <= _LARGEST for value in label):
            _refuse(name, f"that of {image} holds something else than numbers: {_short(label)}")
    if not 1 <= expected <= MAX_LABEL_SIZE:
        _refuse(name, f"they have {expected} numbers, but should have 1 to {MAX_LABEL_SIZE}")
    return Labels(vectors=np.array([given[image] for image in images], dtype=np.float32))


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _refuse(name: str, what: str) -> NoReturn:
    raise FailedPrecondition(
        f"The labels of {name} are wrong: {what}; correct the {_FILE} of its images and make the "
        "dataset again.",
        reason="LABELS_INVALID",
        resource=name,
    )


def _damaged(name: str, what: str) -> DataLoss:
    return DataLoss(
        f"The images of {name} are damaged: {what}; make the dataset again.",
        reason="DATASET_DAMAGED",
        resource=name,
    )
