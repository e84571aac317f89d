"""The zips: the same bytes however they are made, and every square traced to its photo."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace

import filter_pieces
import numpy as np
import pytest
from PIL import Image

from services.filter import processes
from services.filter.build import build_dataset
from services.filter.packing import held_out_squares
from services.filter.request import BuildRequest
from services.filter.verdicts import read_verdicts
from tagloom.artifacts import layout
from tagloom.artifacts.dataset import Crop, LabelSource, Threshold, Verdict
from tagloom.artifacts.labels import dataset_labels
from tagloom.errors import FailedPrecondition, InvalidArgument
from tagloom.progress import silent
from tagloom.store import open_store

OFF = tuple(
    Threshold(check=check, enabled=False, value=0)
    for check in ("sharpness", "grayscale", "text", "faces")
)
REQUEST = replace(filter_pieces.REQUEST, dataset="squares", thresholds=OFF)
NAMES = [
    "flower",
    "coffee",
    "china",
    "rocket",
    "chelsea",
    "astronaut",
    "retina",
    "brick",
    "grass",
    "gravel",
    "coins",
    "camera",
    "moon",
    "horse",
    "page",
    "motorcycle_left",
    "clock_motion",
    "logo",
]


@pytest.fixture(scope="module")
def many(photo, encode):
    """Enough photos for several processes."""
    return {f"{name}.png": encode(photo(name).fit(200)) for name in NAMES}


def zips(store, dataset_id="squares"):
    keys = (layout.dataset_images(dataset_id), layout.dataset_held_out(dataset_id))
    return [store.get(key) for key in keys]


@pytest.mark.parametrize("crop", ["center", "subject", "tiles"])
def test_bytes_depend_on_neither_processes_nor_order(
    crop, many, add_collection, tmp_path, monkeypatch
):
    made = []
    request = replace(REQUEST, crop=Crop(mode=crop, output_size=32))
    for cores, files in ((1, many), (2, dict(reversed(many.items())))):
        monkeypatch.setattr(processes, "usable_cores", lambda cores=cores: cores)
        store = open_store(str(tmp_path / f"{crop}-{cores}"))
        add_collection(store, "photos", files)
        dataset = build_dataset(store, request, silent).dataset
        made.append((dataset.content_sha256, dataset.held_out_sha256, *zips(store)))
    assert made[0] == made[1]


@pytest.mark.parametrize(
    "crop",
    [
        Crop(mode="center", output_size=32),
        Crop(mode="subject", output_size=32),
        Crop(mode="tiles", tile_size=128, output_size=32),
        Crop(mode="tiles", tile_size=128, overlap=0.5, output_size=32),
    ],
    ids=["center", "subject", "tiles", "overlap"],
)
def test_every_square_is_traced_to_its_photo(crop, many, add_collection, store):
    add_collection(store, "photos", many)
    dataset = build_dataset(store, replace(REQUEST, crop=crop), silent).dataset
    train, aside = (zipfile.ZipFile(io.BytesIO(data)) for data in zips(store))
    met: dict[bool, set[str]] = {False: set(), True: set()}
    for verdict in read_verdicts(store, "squares")[0]:
        assert len(verdict.squares) == verdict.tiles
        image = Image.open(io.BytesIO(many[verdict.source]))
        for square in verdict.squares:
            box = (square.left, square.top, square.left + square.side, square.top + square.side)
            wanted = image.crop(box).resize((32, 32), Image.Resampling.LANCZOS)
            archive = aside if square.held_out else train
            found = Image.open(io.BytesIO(archive.read(square.file)))
            np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))
            met[square.held_out].add(square.file)
        if crop.overlap:
            assert len({square.held_out for square in verdict.squares}) <= 1
    assert (len(met[False]), len(met[True])) == (dataset.train, dataset.held_out)
    assert dataset.held_out > 0
    assert dataset.resize_filter.startswith("Pillow ")
    assert "LANCZOS" in dataset.resize_filter


@pytest.fixture
def labelled(many, add_collection, store):
    folders = {"cats/chelsea.png": "chelsea.png", "loose.png": "china.png"}
    folders |= {f"stones/{name}.png": f"{name}.png" for name in ("brick", "gravel", "moon")}
    add_collection(store, "photos", {to: many[name] for to, name in folders.items()})
    return store


def test_classes_by_folder(labelled):
    request = replace(REQUEST, crop=Crop(output_size=32), labels=LabelSource(kind="folder"))
    built = build_dataset(labelled, request, silent)
    dataset = built.dataset
    assert [entry.name for entry in dataset.classes] == ["cats", "stones"]
    assert built.rejected == {"label": 1}
    verdicts = {verdict.source: verdict for verdict in read_verdicts(labelled, "squares")[0]}
    assert verdicts["loose.png"].failed_checks == ("label",)
    assert not verdicts["loose.png"].kept
    labels = dataset_labels(labelled, dataset)
    assert labels is not None
    assert labels.size == 2
    for data, held_out in zip(zips(labelled), (False, True), strict=True):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            document = json.loads(archive.read("dataset.json"))
        expected = {
            square.file: ["cats", "stones"].index(verdict.label)
            for verdict in verdicts.values()
            for square in verdict.squares
            if square.held_out == held_out
        }
        assert dict(document["labels"]) == expected


def test_no_class_is_held_out_whole():
    """By some seed both squares of the only cat would be."""
    kept = [
        Verdict(sha256=str(number) * 64, source="", kept=True, label=label, tiles=2)
        for number, label in enumerate(("cats", "stones", "stones", "stones"))
    ]
    saved = 0
    for seed in range(200):
        request = replace(REQUEST, held_out_ratio=0.5, seed=seed)
        aside = held_out_squares(kept, request)
        assert not {(kept[0].sha256, 0), (kept[0].sha256, 1)} <= aside
        assert len(aside) in (2, 4)
        saved += len(aside) == 2
    assert saved > 0


def test_other_labels_are_another_dataset(labelled):
    request = replace(REQUEST, crop=Crop(output_size=32), labels=LabelSource(kind="folder"))
    build_dataset(labelled, request, silent)
    assert not build_dataset(labelled, request, silent).made
    with pytest.raises(Exception, match="differs in the labels"):
        build_dataset(labelled, replace(request, labels=None), silent)


def test_a_class_of_which_nothing_stays(labelled):
    classes = LabelSource(kind="folder", classes=("stones", "cats"))
    strict = (Threshold(check="grayscale", value=16), *OFF[2:])
    request = replace(REQUEST, crop=Crop(output_size=32), thresholds=strict, labels=classes)
    with pytest.raises(FailedPrecondition, match="'stones' stays") as caught:
        build_dataset(labelled, request, silent)
    assert caught.value.reason == "CLASS_EMPTY"


@pytest.mark.parametrize(
    "crop",
    [
        Crop(mode="tiles", tile_size=64, overlap=0.8, output_size=32),
        Crop(mode="tiles", tile_size=64, overlap=float("nan"), output_size=32),
        Crop(mode="center", overlap=0.1, output_size=32),
    ],
)
def test_overlaps_that_cannot_be(crop):
    with pytest.raises(InvalidArgument) as caught:
        BuildRequest("d", "c", 128, crop).checked()
    assert caught.value.reason == "OVERLAP_INVALID"
