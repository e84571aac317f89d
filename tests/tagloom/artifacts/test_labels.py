"""Labels are read as the StyleGAN layout has them, and every wrong one is told in a sentence."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagloom.artifacts import layout
from tagloom.artifacts.labels import (
    MAX_LABEL_SIZE,
    Labels,
    dataset_labels,
    image_names,
    read_labels,
)
from tagloom.errors import DataLoss, FailedPrecondition
from tagloom.store import open_store
from tests.plugins.training_pieces import write_dataset

NAMES = ["a.png", "b.png", "c.png"]


def read(document: Any, size: int | None = None) -> Labels | None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in reversed(NAMES):
            archive.writestr(name, b"")
        if document is not ...:
            text = document if isinstance(document, (bytes, str)) else json.dumps(document)
            archive.writestr("dataset.json", text)
        return read_labels(archive, image_names(archive), "datasets/d", size=size)


def labelled(*labels: Any) -> dict[str, Any]:
    return {"labels": [[name, label] for name, label in zip(NAMES, labels, strict=False)]}


def test_classes_become_one_hot_in_the_order_of_the_images() -> None:
    document = labelled(2, 0, 0)
    document["labels"] = [*reversed(document["labels"]), ["other.png", 9]]
    labels = read(document)
    assert labels is not None
    assert (len(labels), labels.size) == (3, 3)
    rows = labels.rows(np.array([0, 1, 2, 0]))
    assert rows.dtype == np.float32
    assert rows.tolist() == [[0, 0, 1], [1, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert labels.in_turn([0, 1, 5]).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    wider = read(document, size=5)
    assert wider is not None
    assert wider.rows(np.array([0])).tolist() == [[0, 0, 1, 0, 0]]


def test_lists_of_numbers_stay_what_they_are() -> None:
    labels = read(labelled([0.5, -1], [0, 1], [2, 3.25]))
    assert labels is not None
    assert (len(labels), labels.size) == (3, 2)
    assert labels.rows(np.array([2, 0])).tolist() == [[2, 3.25], [0.5, -1]]
    assert labels.in_turn([3, 4]).tolist() == [[0.5, -1], [0, 1]]


@pytest.mark.parametrize("document", [..., {}, {"labels": None}, {"labels": []}, []])
def test_no_labels_are_none(document: Any) -> None:
    assert read(document) is None


@pytest.mark.parametrize(
    ("document", "size", "words"),
    [
        (labelled(0, 1), None, r"1 of 3 images have none, the first is c\.png"),
        (labelled(0, -1, 1), None, r"that of b\.png is -1, but classes go from 0 to 9999"),
        (labelled(0, 10**400, 1), None, r"that of b\.png is 10+, but classes go"),
        (labelled(0, MAX_LABEL_SIZE, 1), None, r"that of b\.png is 10000, but classes go"),
        (labelled(0, 2, 1), 2, r"that of b\.png is 2, but classes go from 0 to 1"),
        (labelled(0, 1.0, 1), None, r"that of b\.png is 1\.0, neither a class"),
        (labelled(0, True, 1), None, r"that of b\.png is true, neither a class"),
        (labelled(0, "cat", 1), None, r'that of b\.png is "cat", neither a class'),
        (labelled(0, [0, 1], 1), None, r"that of b\.png is \[0, 1\], neither a class"),
        (labelled([0, 1], [0], [0, 1]), None, r"that of b\.png has 1 numbers, not 2"),
        (labelled([0, 1], [0, 1], [0, 1]), 3, r"that of a\.png has 2 numbers, not 3"),
        (labelled([0, 1], [0, "x"], [0, 1]), None, r"b\.png holds something else than numbers"),
        (labelled([0.0], [float("nan")], [0.0]), None, r"b\.png holds something else than numb"),
        (labelled([0.0], [1e300], [0.0]), None, r"b\.png holds something else than numbers"),
        (labelled([], [], []), None, r"they have 0 numbers, but should have 1 to 10000"),
        ({"labels": {"a.png": 0}}, None, r'"labels" is not a list of \[file name, label\]'),
        ({"labels": [["a.png", 0, 1]]}, None, r'\["a\.png", 0, 1\] is not a \[file name, label\]'),
    ],
)
def test_what_is_wrong_is_told(document: Any, size: int | None, words: str) -> None:
    with pytest.raises(FailedPrecondition, match=words) as told:
        read(document, size)
    assert told.value.message.startswith("The labels of datasets/d are wrong: ")
    assert told.value.reason == "LABELS_INVALID"
    assert told.value.message.count(". ") == 0, "more than a sentence"


@pytest.mark.parametrize("text", [b"{", b"\xff\xfe\x00"])
def test_a_document_that_is_no_json_is_damaged(text: bytes) -> None:
    with pytest.raises(DataLoss, match=r"^The images of datasets/d are damaged: its dataset\.json"):
        read(text)


@settings(deadline=None)
@given(classes=st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_seeds_have_the_labels_of_images_and_always_the_same(classes: list[int]) -> None:
    labels = Labels(classes=np.array(classes), size=6)
    drawn = labels.of_seeds(range(200))
    assert set(drawn.argmax(axis=1)) <= set(classes)
    assert (drawn.sum(axis=1) == 1).all()
    assert (labels.of_seeds([7, 150]) == drawn[[7, 150]]).all()


def test_seeds_follow_the_mixture_of_the_dataset() -> None:
    labels = Labels(classes=np.array([0] * 7 + [1] * 2 + [3]), size=4)
    shares = labels.of_seeds(range(4000)).mean(axis=0)
    assert shares == pytest.approx([0.7, 0.2, 0.0, 0.1], abs=0.03)


def test_a_datasets_labels_are_read_without_its_images(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    dataset = write_dataset(store, labels=[1, 0, 1, 2] * 3)
    labels = dataset_labels(store, dataset)
    assert labels is not None
    assert labels.rows(np.arange(4)).argmax(axis=1).tolist() == [1, 0, 1, 2]
    assert dataset_labels(store, write_dataset(store, "plain")) is None
    store.put(layout.dataset_images("d"), b"no zip")
    with pytest.raises(DataLoss, match="datasets/d are damaged"):
        dataset_labels(store, dataset)
    store.delete(layout.dataset_images("d"))
    with pytest.raises(DataLoss, match="is missing"):
        dataset_labels(store, dataset)
