"""The zip: the layout of StyleGAN's data sets, the same bytes every time."""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from services.filter.archive import DatasetZip, encode_png
from tagloom.artifacts.labels import read_labels

PICTURES = [np.random.RandomState(seed).randint(0, 255, (16, 16, 3)) for seed in range(3)]


def write(path, pictures=PICTURES):
    with DatasetZip(path) as archive:
        for picture in pictures:
            archive.add(encode_png(Image.fromarray(picture.astype(np.uint8))))
    return archive


def test_layout(tmp_path):
    archive = write(tmp_path / "images.zip")
    assert archive.count == 3
    with zipfile.ZipFile(tmp_path / "images.zip") as zipped:
        names = [f"00000/img0000000{index}.png" for index in range(3)]
        assert zipped.namelist() == [*names, "dataset.json"]
        assert {info.compress_type for info in zipped.infolist()} == {zipfile.ZIP_STORED}
        assert json.loads(zipped.read("dataset.json")) == {"labels": None}
        for name, picture in zip(names, PICTURES, strict=True):
            read = Image.open(io.BytesIO(zipped.read(name)))
            assert (read.format, read.mode) == ("PNG", "RGB")
            np.testing.assert_array_equal(np.asarray(read), picture)
        assert zipped.testzip() is None


def test_classes_are_numbered_in_their_order(tmp_path):
    with DatasetZip(tmp_path / "images.zip", ["dog", "cat"]) as archive:
        names = [archive.add(b"", label) for label in ("cat", "dog", "cat")]
    with zipfile.ZipFile(tmp_path / "images.zip") as zipped:
        document = json.loads(zipped.read("dataset.json"))
        labels = read_labels(zipped, names, "datasets/d")
    assert document["classes"] == ["dog", "cat"]
    assert document["labels"] == [[names[0], 1], [names[1], 0], [names[2], 1]]
    assert labels.rows(np.arange(3)).tolist() == [[0, 1], [1, 0], [0, 1]]


def test_same_images_same_bytes(tmp_path, monkeypatch):
    first = write(tmp_path / "a.zip").sha256()
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    os.umask(old := os.umask(0o077))
    second = write(tmp_path / "b.zip").sha256()
    assert first == second == hashlib.sha256((tmp_path / "a.zip").read_bytes()).hexdigest()
    assert write(tmp_path / "c.zip", PICTURES[::-1]).sha256() != first
    assert old >= 0


def test_a_failure_leaves_no_finished_looking_archive(tmp_path):
    def fail():
        with DatasetZip(tmp_path / "images.zip") as archive:
            archive.add(b"")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with zipfile.ZipFile(tmp_path / "images.zip") as zipped:
        assert "dataset.json" not in zipped.namelist()


def test_folders_change_every_thousand(tmp_path):
    with DatasetZip(tmp_path / "images.zip") as archive:
        for _ in range(1001):
            archive.add(b"x")
    with zipfile.ZipFile(tmp_path / "images.zip") as zipped:
        assert zipped.namelist()[1000] == "00001/img00001000.png"
