"""Photos in folders to a conditional generator: classes written, trained on for a step."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .conftest import Place, copy_photos

TINY = [
    "--config",
    "stylegan2",
    "--kimg",
    "0.016",
    "--batch",
    "8",
    "--channel-base",
    "128",
    "--channel-max",
    "8",
    "--latent-size",
    "8",
    "--mapping-layers",
    "1",
    "--snapshot-kimg",
    "0.016",
    "--tick-kimg",
    "0.016",
]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for label, names in {"cats": ["chelsea.png"], "food": ["coffee.png"]}.items():
        copy_photos(tmp_path / "photos" / label, *names)
    shutil.copy(tmp_path / "photos" / "food" / "coffee.png", tmp_path / "photos" / "loose.png")
    return Place(tmp_path)


def test_folders_become_classes_of_a_conditional_run(place: Place) -> None:
    done = place.tagloom("scrape", "--collection", "photos", "--folder", "photos")
    assert done.code == 0, done.err
    filtered = place.tagloom(
        *[
            "filter",
            "--collection",
            "photos",
            "--dataset",
            "d",
            "--resolution",
            "256",
            "--output-size",
            "16",
        ],
        *["--crop", "tiles", "--tile-size", "64", "--labels", "folder", "--json"],
    )
    assert filtered.code == 0, filtered.err
    classes = filtered.document["classes"]
    assert [entry["name"] for entry in classes] == ["cats", "food"]
    assert all(entry["train_count"] > 0 for entry in classes)
    trained = place.tagloom("train", "--run", "r", "--dataset", "d", "--cond", *TINY, "--json")
    assert trained.code == 0, trained.err
    assert trained.document["images_seen"] == 16
    assert trained.document["options"]["conditional"] is True


def test_wrong_use_says_what_is_missing(place: Place) -> None:
    start = ["filter", "--collection", "photos", "--dataset", "d", "--resolution", "256"]
    for extra, says in (
        (["--classes", "a,b"], "--labels"),
        (["--overlap", "0.2"], "--crop tiles"),
    ):
        answer = place.tagloom(*start, *extra)
        assert answer.code == 2
        assert says in answer.err
