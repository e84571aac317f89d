"""Takedowns in datasets: the others' squares stay, and nothing of the image is left."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from dying_store import Dying, Killed
from PIL import Image

from services.filter.build import build_dataset
from services.filter.checks import CHECKS, FORMAT
from services.filter.forget import Cleared, forget_images
from services.filter.request import BuildRequest
from services.filter.verdicts import all_verdicts, encode_verdicts, read_verdicts
from services.trainer.dataset import load_held_out, load_images
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.dataset import Crop, Dataset, LabelSource, Threshold, Verdict
from tagloom.artifacts.forgotten import Tombstone
from tagloom.artifacts.labels import dataset_labels
from tagloom.errors import DataLoss
from tagloom.progress import silent
from tagloom.store import Store, open_store

REQUEST = BuildRequest(
    dataset="d",
    collection="photos",
    resolution=64,
    crop=Crop(mode="tiles", tile_size=64, output_size=32),
    thresholds=tuple(
        Threshold(check=name, enabled=False, value=0)
        for name in CHECKS
        if name not in (FORMAT, "resolution")
    ),
    held_out_ratio=0.3,
    seed=5,
    labels=LabelSource(kind="folder"),
)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """Eight pictures of their own in two folders; the last is a copy of the first."""
    chance, found = np.random.default_rng(0), dict[str, bytes]()
    for number in range(8):
        image = Image.fromarray(chance.integers(0, 256, (140, 200, 3), np.uint8))
        sink = io.BytesIO()
        image.save(sink, "PNG")
        found[f"{'ab'[number % 2]}/{number}.png"] = sink.getvalue()
    return {**found, "a/copy.png": found["a/0.png"]}


@pytest.fixture
def made(store: Store, add_collection: Callable[..., object], files: dict[str, bytes]) -> Dataset:
    return make(store, add_collection, files)


def make(store: Store, add: Callable[..., object], files: dict[str, bytes]) -> Dataset:
    add(store, "photos", files)
    return build_dataset(store, REQUEST, silent).dataset


def dataset(store: Store) -> Dataset:
    return Dataset.load(store, layout.dataset_manifest("d"), "datasets/d")


def squares(store: Store, dataset: Dataset) -> dict[tuple[str, int, bool], tuple[bytes, str]]:
    """PNG and class of every square, by image, number and whether it is held out."""
    found = {}
    for aside, key in (
        (False, layout.dataset_images("d", dataset.files)),
        (True, layout.dataset_held_out("d", dataset.files)),
    ):
        with zipfile.ZipFile(io.BytesIO(store.get(key))) as archive:
            document = json.loads(archive.read("dataset.json"))
            numbers = dict(document["labels"])
            for verdict in all_verdicts(store, dataset):
                for number, square in enumerate(verdict.squares):
                    if square.held_out == aside:
                        label = document["classes"][numbers[square.file]]
                        assert label == verdict.label
                        png = archive.read(square.file)
                        found[verdict.sha256, number, aside] = (png, label)
            pngs = [name for name in archive.namelist() if name.endswith(".png")]
            assert pngs == [f"{n // 1000:05}/img{n:08}.png" for n in range(len(pngs))]
    return found


def is_gone(store: Store, lost: str, dataset: Dataset) -> None:
    assert [info.key for info in store.iterate("datasets/d/")] == sorted(
        [
            layout.dataset_manifest("d"),
            layout.dataset_images("d", dataset.files),
            layout.dataset_held_out("d", dataset.files),
            layout.dataset_verdicts("d", dataset.files),
        ]
    )
    for info in store.iterate("scores/"):
        assert lost not in pq.read_table(io.BytesIO(store.get(info.key)))["sha256"].to_pylist()
    for verdict in all_verdicts(store, dataset):
        assert lost not in str(verdict)


def test_the_others_stay_as_they_were(store: Store, made: Dataset, files: dict[str, bytes]) -> None:
    before, verdicts = squares(store, made), all_verdicts(store, made)
    lost = sha(files["a/0.png"])
    scored = sum(1 for info in store.iterate("scores/"))
    for content in (made.content_sha256, made.held_out_sha256):
        store.put(layout.statistics(content, "x-1"), b"cached")
        store.put(layout.snapshot_scores(content, "x-1", "abc"), b"cached")
    store.put(layout.statistics("f" * 64, "x-1"), b"of others")

    assert forget_images(store, [lost]) == Cleared(("datasets/d",), ("datasets/d",))
    new = dataset(store)
    assert squares(store, new) == {k: v for k, v in before.items() if k[0] != lost}
    assert (new.revision, new.forgotten) == (2, (lost,))
    assert (new.judged, new.kept, new.rejected) == (made.judged - 1, made.kept - 1, 0)
    assert new.train + new.held_out == made.train + made.held_out - 6
    assert [(c.name, c.train + c.held_out) for c in new.classes] == [("a", 18), ("b", 24)]
    images = store.get(layout.dataset_images("d", new.files))
    assert new.content_sha256 == sha(images) != made.content_sha256
    left, total = read_verdicts(store, "d")
    assert total == 7
    assert [v.sha256 for v in left] == [v.sha256 for v in verdicts if v.sha256 != lost]
    is_gone(store, lost, new)
    assert sum(1 for info in store.iterate("scores/")) == scored
    assert [info.key for info in store.iterate("statistics/")] == [
        layout.statistics("f" * 64, "x-1")
    ]
    # Who trains and who scores reads the new files.
    train, rest = load_images(store, new, label_size=2), load_held_out(store, new, label_size=2)
    assert rest is not None
    assert (len(train), len(rest)) == (new.train, new.held_out)
    assert dataset_labels(store, new) is not None

    # Asked again: nothing changes, but what was held is still known.
    assert forget_images(store, [lost]) == Cleared(("datasets/d",), ())
    assert dataset(store) == new
    second = sha(files["b/1.png"])
    forget_images(store, [second])
    assert dataset(store).forgotten == tuple(sorted([lost, second]))
    assert forget_images(store, ["0" * 64]) == Cleared((), ())


def test_everything_that_has_a_tombstone(
    store: Store, made: Dataset, files: dict[str, bytes]
) -> None:
    for name in ("a/2.png", "b/3.png"):
        store.put(layout.forgotten_image(sha(files[name])), Tombstone(time=now()).to_bytes())
    assert forget_images(store, []).changed == ("datasets/d",)
    assert dataset(store).judged == made.judged - 2


def test_a_dataset_that_cannot_be_read_does_not_shield_the_others(
    store: Store, made: Dataset, files: dict[str, bytes]
) -> None:
    lost = sha(files["a/0.png"])
    store.put(layout.dataset_manifest("a-torn-one"), b"{")  # before d
    with pytest.raises(DataLoss, match="a-torn-one"):
        forget_images(store, [lost])
    assert dataset(store).forgotten == (lost,)
    is_gone(store, lost, dataset(store))


def test_forgotten_while_the_dataset_is_made(
    store: Store, add_collection: Callable[..., object], files: dict[str, bytes]
) -> None:
    add_collection(store, "photos", files)
    lost = sha(files["a/0.png"])

    def report(phase: str, done: int, total: int, message: str = "", **_: object) -> None:
        if phase == "write" and not store.exists(layout.forgotten_image(lost)):
            store.put(layout.forgotten_image(lost), Tombstone(time=now()).to_bytes())

    built = build_dataset(store, REQUEST, report).dataset
    assert built == dataset(store)
    assert (built.revision, built.forgotten) == (2, (lost,))
    is_gone(store, lost, built)


def test_an_image_that_stood_in_for_a_copy(
    store: Store, made: Dataset, files: dict[str, bytes]
) -> None:
    """A verdict that names the better copy it lost to forgets that name."""
    lost = sha(files["a/0.png"])
    verdicts = all_verdicts(store, made)
    result = verdicts[1].results[0].model_copy(update={"related": lost, "detail": f"As {lost}."})
    verdicts[1] = verdicts[1].model_copy(update={"results": (result, *verdicts[1].results[1:])})
    store.put(layout.dataset_verdicts("d"), encode_verdicts(verdicts))
    forget_images(store, [lost])
    is_gone(store, lost, dataset(store))
    assert isinstance(all_verdicts(store, dataset(store))[0], Verdict)


@pytest.mark.parametrize("after", [False, True], ids=["before a write", "after a write"])
def test_killed_at_every_write(
    tmp_path: Path, add_collection: Callable[..., object], files: dict[str, bytes], after: bool
) -> None:
    lost = sha(files["a/0.png"])
    first = open_store(str(tmp_path / "first"))
    make(first, add_collection, files)
    whole = {info.key: first.get(info.key) for info in first.iterate()}
    for writes in range(1, 40):
        store = open_store(str(tmp_path / f"{writes}"))
        for key, data in whole.items():
            store.put(key, data)
        try:
            forget_images(Dying(store, writes, after=after), [lost])
            ended = True
        except Killed:
            ended = False
        # Whenever it was killed, the dataset is whole: the old revision or the new one.
        there = dataset(store)
        assert sha(store.get(layout.dataset_images("d", there.files))) == there.content_sha256
        squares(store, there)
        forget_images(store, [lost])
        is_gone(store, lost, dataset(store))
        if ended:
            assert writes > 6
            return
    pytest.fail("it never came to its end")
