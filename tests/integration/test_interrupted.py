"""Ctrl-C in the middle of a command: nothing is lost, and the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

from .conftest import Place, copy_photos, environment

TRAIN = (
    *("train", "--dataset", "d", "--run", "r", "--kimg", "0.032", "--batch", "8"),
    *("--channel-base", "128", "--channel-max", "8", "--latent-size", "16"),
)
EVALUATE = ("evaluate", "r", "--samples", "8")
FILTER = ("filter", "--collection", "c", "--dataset", "d", "--resolution", "64")


def interrupted(place: Place, service: str, *arguments: str) -> tuple[int, str]:
    """Runs a command until its work is in the store, then presses Ctrl-C: as a terminal does, on
    all processes of the group. Its exit code, and stderr."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tagloom.cli", "--store", "store", *arguments],
        cwd=place.folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    records = place.folder / "store" / "operations" / service
    before = set(records.glob("*.json"))
    end = time.monotonic() + 60
    while not set(records.glob("*.json")) - before and time.monotonic() < end:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def test_the_same_command_continues(tmp_path: Path) -> None:
    place = Place(tmp_path)
    copy_photos(tmp_path / "whole", "chelsea.png", "coffee.png", "rocket.jpg")
    (tmp_path / "photos").mkdir()
    for path in (tmp_path / "whole").iterdir():
        image = Image.open(path).convert("RGB")
        for index in range(8):
            part = image.crop((20 * index, 10 * index, 20 * index + 250, 10 * index + 200))
            part.save(tmp_path / "photos" / f"{path.stem}{index}.png")
    assert place.tagloom("scrape", "--collection", "c", "--folder", "photos").code == 0
    code, err = interrupted(place, "filter", *FILTER)
    assert code == 130, err
    assert err.splitlines()[-1].endswith("the same command continues.")
    assert "Traceback" not in err
    active = place.tagloom("operations", "list", "--active", "--json").document
    assert [operation["metadata"]["target"] for operation in active] == ["datasets/d"]
    other = place.tagloom(*FILTER[:-1], "128")
    assert "DATASET_IN_PROGRESS" in other.err
    done = place.tagloom(*FILTER, "--json")
    assert done.code == 0, done.err
    assert done.document["judged_count"] == 24
    assert place.tagloom("operations", "list", "--active", "--json").document == []
    every = place.tagloom("operations", "list", "--json").document
    assert [entry["name"] for entry in every if entry["metadata"]["method"] == "CreateDataset"] == [
        active[0]["name"]
    ]
    # What any of them ended with can be waited for.
    for entry in every:
        assert place.tagloom("operations", "wait", entry["name"]).code == 0


def test_a_training_and_its_scores_continue(tmp_path: Path) -> None:
    place = Place(tmp_path)
    copy_photos(tmp_path / "photos", "chelsea.png", "coffee.png", "rocket.jpg")
    for command in (
        ("scrape", "--collection", "c", "--folder", "photos"),
        (*FILTER, "--crop", "tiles", "--output-size", "16", "--held-out", "0.25"),
    ):
        done = place.tagloom(*command)
        assert done.code == 0, done.err
    for service, command, name in (
        ("trainer", TRAIN, "runs/r"),
        ("evaluator", EVALUATE, "evaluations/r-"),
    ):
        code, err = interrupted(place, service, *command)
        assert code == 130, err
        assert err.splitlines()[-1].endswith("the same command continues.")
        done = place.tagloom(*command, "--json")
        assert done.code == 0, done.err
        assert done.document["name"].startswith(name)
        assert place.tagloom("operations", "list", "--active", "--json").document == []
        every = place.tagloom("operations", "list", "--json").document
        made = [e["name"] for e in every if e["name"].startswith(f"operations/{service}.")]
        assert len(made) == 1, "the work of the first command, not another one"
