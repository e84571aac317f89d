"""Images are read as they were written, and shuffled the same way wherever one begins."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from services.trainer.dataset import Sampler, TrainingImages, load_images
from tagloom.artifacts import layout
from tagloom.artifacts.dataset import Dataset
from tagloom.errors import DataLoss, FailedPrecondition
from tagloom.store import Store


@settings(deadline=None)
@given(
    images=st.integers(1, 40),
    seed=st.integers(-(2**63), 2**63 - 1),
    mirror=st.booleans(),
    position=st.integers(0, 10**9),
    count=st.integers(1, 30),
)
def test_what_lies_at_a_position_does_not_depend_on_where_reading_begins(
    images: int, seed: int, mirror: bool, position: int, count: int
) -> None:
    whole = Sampler(images, seed=seed, mirror=mirror).at(position, count)
    piecewise = Sampler(images, seed=seed, mirror=mirror)
    parts = [piecewise.at(position + offset, 1) for offset in range(count)]
    assert whole[0].tolist() == [int(indices[0]) for indices, _ in parts]
    assert whole[1].tolist() == [bool(mirrored[0]) for _, mirrored in parts]


@settings(deadline=None)
@given(images=st.integers(1, 40), seed=st.integers(0, 2**32), epoch=st.integers(0, 1000))
def test_an_epoch_has_every_image_once_and_mirrored_once(
    images: int, seed: int, epoch: int
) -> None:
    plain = Sampler(images, seed=seed, mirror=False).at(epoch * images, images)
    assert sorted(plain[0]) == list(range(images))
    assert not plain[1].any()
    both = Sampler(images, seed=seed, mirror=True).at(epoch * 2 * images, 2 * images)
    pairs = sorted(zip(both[0].tolist(), both[1].tolist(), strict=True))
    assert pairs == [(index, side) for index in range(images) for side in (False, True)]


def test_seeds_and_epochs_shuffle_differently() -> None:
    orders = {
        tuple(Sampler(50, seed=seed, mirror=False).at(epoch * 50, 50)[0].tolist())
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_a_batch_is_scaled_and_mirrored() -> None:
    pixels = np.zeros((2, 3, 4, 4), dtype=np.uint8)
    pixels[1, :, :, 0] = 255
    batch = TrainingImages(pixels).batch(np.array([0, 1, 1]), np.array([False, False, True]))
    assert batch.shape == (3, 3, 4, 4)
    assert (batch[0] == -1).all()
    assert (batch[1, :, :, 0] == 1).all()
    assert (batch[1, :, :, 1:] == -1).all()
    assert (batch[2, :, :, 3] == 1).all()
    assert (batch[2, :, :, :3] == -1).all()
    assert (pixels[1, :, :, 0] == 255).all(), "the images themselves were mirrored"


def test_images_come_as_they_were_written(
    store: Store, make_dataset: Callable[..., Dataset]
) -> None:
    dataset = make_dataset(store, images=5, side=16)
    images = load_images(store, dataset)
    assert len(images) == 5
    assert images.resolution == 16
    with zipfile.ZipFile(io.BytesIO(store.get(layout.dataset_images("d")))) as archive:
        first = np.asarray(Image.open(io.BytesIO(archive.read("00000/img00000003.png"))))
    batch = images.batch(np.array([3]), np.array([False]))
    restored = ((batch[0] + 1) * 127.5).round().numpy().astype(np.uint8)
    assert (restored.transpose(1, 2, 0) == first).all()


def rewritten(store: Store, dataset: Dataset, members: dict[str, bytes]) -> Dataset:
    """The dataset with another archive, and a manifest that fits it."""
    import hashlib

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    store.put(layout.dataset_images(dataset.id), archive.getvalue())
    digest = hashlib.sha256(archive.getvalue()).hexdigest()
    return dataset.model_copy(update={"content_sha256": digest})


def png(width: int, height: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (width, height)).save(data, "PNG")
    return data.getvalue()


def test_damaged_archives_are_told_apart(
    store: Store, make_dataset: Callable[..., Dataset]
) -> None:
    dataset = make_dataset(store)

    changed = rewritten(store, dataset, {"a.png": png(16, 16), "b.png": png(16, 8)})
    with pytest.raises(DataLoss, match=r"b\.png has 16 x 8 pixels, not 16 x 16"):
        load_images(store, changed)
    changed = rewritten(store, dataset, {"a.png": png(16, 16)[:45]})
    with pytest.raises(DataLoss, match=r"a\.png cannot be decoded"):
        load_images(store, changed)
    changed = rewritten(store, dataset, {"a.png": b"just text"})
    with pytest.raises(DataLoss, match=r"a\.png cannot be decoded"):
        load_images(store, changed)
    changed = rewritten(store, dataset, {"dataset.json": b"{}"})
    with pytest.raises(FailedPrecondition, match="no training image"):
        load_images(store, changed)
    with pytest.raises(DataLoss, match="not the archive that its manifest names"):
        load_images(store, dataset)
    store.delete(layout.dataset_images(dataset.id))
    with pytest.raises(DataLoss, match="is missing"):
        load_images(store, dataset)
