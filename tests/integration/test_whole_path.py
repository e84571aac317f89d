"""From a folder of real photos to a scored generator and its report: every part the real one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import Answer, copy_photos, run_tagloom

FILE = """\
experiment: tiny
title: The smallest whole path
collect: {folder: photos}
filter: {resolution: 256, crop: tiles, tile_size: 64, output_size: 16, held_out: 0.25}
train:
  kimg: 0.096
  batch: 8
  channel_base: 128
  channel_max: 8
  latent_size: 16
  snapshot_kimg: 0.048
  tick_kimg: 0.016
evaluate: {metrics: [frechet, kernel], samples: 32}
"""
STILL = "\n  g_learning_rate: 0\n  d_learning_rate: 0\n  kimg: 0.032"


@dataclass
class Place:
    """A folder in which the experiment ran once."""

    folder: Path
    answer: Answer
    seconds: float

    def tagloom(self, *arguments: str) -> Answer:
        return run_tagloom(self.folder, *arguments)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("whole-path")
    copy_photos(folder / "photos", "chelsea.png", "coffee.png", "astronaut.png", "camera.png")
    (folder / "photos" / "notes.txt").write_text("not a photo")
    (folder / "tiny.yaml").write_text(FILE)
    begin = time.monotonic()
    answer = run_tagloom(folder, "run", "tiny.yaml", "--json")
    return Place(folder, answer, time.monotonic() - begin)


def test_it_ends_with_a_report_and_a_verdict(place: Place) -> None:
    assert place.answer.code == 0, place.answer.err
    document = place.answer.document
    assert document["reused"] is False
    assert "kernel" in document["outcomes"][0]["gate_sentence"]
    report = (place.folder / document["report"]).read_text()
    for says in ("The smallest whole path", "astronaut.png", "camera.png", "notes.txt"):
        assert says in report
    assert report.count("data:image/jpeg") == 4
    # Each snapshot from the same seeds, more of the best, a closed walk.
    assert report.count("data:image/png") == 3 * 10 + 24 + 49


def test_every_file_is_accounted_for_and_rejected_for_real_reasons(place: Place) -> None:
    document = place.answer.document
    collection = place.tagloom("get", document["collection"], "--json").document
    assert collection["item_count"] == 5
    assert collection["stored_count"] == 4
    verdicts = place.tagloom("verdicts", document["dataset"], "--json").document["verdicts"]
    failed = {Path(v["source"]).name: v["failed_checks"] for v in verdicts}
    assert failed == {
        "astronaut.png": ["faces"],
        "camera.png": ["grayscale"],
        "chelsea.png": [],
        "coffee.png": [],
    }


def test_the_run_keeps_its_record(place: Place) -> None:
    name = place.answer.document["outcomes"][0]["run"]
    run = place.tagloom("get", name, "--json").document
    assert run["state"] == "succeeded"
    assert run["images_seen"] == run["steps"] * run["options"]["batch"] == 96
    assert run["g_parameter_change"] > 0
    assert run["d_parameter_change"] > 0
    snapshots = place.tagloom("ls", f"{name}/snapshots", "--json").document
    assert [snapshot["kimg"] for snapshot in snapshots] == [0, 0.048, 0.096]


def test_a_second_run_ends_at_once(place: Place) -> None:
    begin = time.monotonic()
    again = place.tagloom("run", "tiny.yaml", "--json")
    assert again.code == 0
    assert again.document["reused"] is True
    assert again.document["outcomes"] == place.answer.document["outcomes"]
    assert time.monotonic() - begin < 10


def test_the_next_step_works_and_never_overwrites(place: Place) -> None:
    words = place.answer.document["next"][0].split()
    assert words[0] == "tagloom"
    assert words[-2:] == ["--store", "store"]
    answer = place.tagloom(*words[1:-2])
    assert answer.code == 0, answer.err
    pictures = sorted((place.folder / "pictures").glob("*.png"))
    assert len(pictures) == 16
    assert len({picture.read_bytes() for picture in pictures}) == 16
    pictures[0].write_bytes(b"mine")
    assert "[FILE_EXISTS]" in place.tagloom(*words[1:-2]).err
    assert pictures[0].read_bytes() == b"mine"


def test_what_is_referred_to_is_not_removed(place: Place) -> None:
    document = place.answer.document
    for name in (document["collection"], document["dataset"], document["outcomes"][0]["run"]):
        answer = place.tagloom("rm", name)
        assert answer.code == 1
        assert "[STILL_REFERENCED]" in answer.err


def test_without_learning_nothing_changes_and_the_gate_is_missed(place: Place) -> None:
    (place.folder / "tiny.yaml").write_text(FILE.replace("\n  kimg: 0.096", STILL))
    answer = place.tagloom("run", "tiny.yaml", "--json")
    assert answer.code == 0, answer.err
    document = answer.document
    # Only what depends on the change was done again.
    assert document["dataset"] == place.answer.document["dataset"]
    assert "(there already)" in answer.err
    (outcome,) = document["outcomes"]
    assert outcome["run"] != place.answer.document["outcomes"][0]["run"]
    assert outcome["gate_passed"] is False
    assert document["gate_passed"] is False
    run = place.tagloom("get", outcome["run"], "--json").document
    assert run["g_parameter_change"] == 0
    assert run["d_parameter_change"] == 0
    report = (place.folder / document["report"]).read_text()
    assert "Not shown to be better" in report
