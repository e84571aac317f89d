"""From a folder of real photos to a scored generator and its report: every part the real one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.run import ExperimentRun

from .conftest import Answer, Place, copy_photos, environment

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
STILL = "\n  g_learning_rate: 0\n  d_learning_rate: 0\n  kimg: 0.016"


@dataclass(frozen=True)
class Finished:
    """A folder in which the experiment ran once, by one command; its services are up now."""

    place: Place
    answer: Answer

    @property
    def folder(self) -> Path:
        return self.place.folder

    def tagloom(self, *arguments: str) -> Answer:
        return self.place.tagloom(*arguments)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp("whole-path")
    copy_photos(folder / "photos", "chelsea.png", "coffee.png", "astronaut.png", "camera.png")
    (folder / "photos" / "notes.txt").write_text("not a photo")
    (folder / "tiny.yaml").write_text(FILE)
    alone = Place(folder)
    answer = alone.tagloom("run", "tiny.yaml", "--json")
    with alone.served() as served:
        yield Finished(served, answer)


def test_it_ends_with_a_report_and_a_verdict(path: Finished) -> None:
    assert path.answer.code == 0, path.answer.err
    document = path.answer.document
    assert document["reused"] is False
    assert "kernel" in document["outcomes"][0]["gate_sentence"]
    report = (path.folder / document["report"]).read_text()
    for says in ("The smallest whole path", "astronaut.png", "camera.png", "notes.txt"):
        assert says in report
    # Four photos, and a map of the sharpness of those whose sharpness was close.
    assert 4 <= report.count("data:image/jpeg") <= 8
    # Each snapshot from the same seeds, more of the best, a closed walk.
    assert report.count("data:image/png") == 3 * 10 + 24 + 49


def test_every_file_is_accounted_for_and_rejected_for_real_reasons(path: Finished) -> None:
    document = path.answer.document
    collection = path.tagloom("get", document["collection"], "--json").document
    assert collection["item_count"] == 5
    assert collection["stored_count"] == 4
    verdicts = path.tagloom("verdicts", document["dataset"], "--json").document["verdicts"]
    failed = {Path(v["source"]).name: v["failed_checks"] for v in verdicts}
    assert failed == {
        "astronaut.png": ["faces"],
        "camera.png": ["grayscale"],
        "chelsea.png": [],
        "coffee.png": [],
    }


def test_the_run_keeps_its_record(path: Finished) -> None:
    name = path.answer.document["outcomes"][0]["run"]
    run = path.tagloom("get", name, "--json").document
    assert run["state"] == "succeeded"
    assert run["images_seen"] == run["steps"] * run["options"]["batch"] == 96
    assert run["g_parameter_change"] > 0
    assert run["d_parameter_change"] > 0
    snapshots = path.tagloom("ls", f"{name}/snapshots", "--json").document
    assert [snapshot["kimg"] for snapshot in snapshots] == [0, 0.048, 0.096]


def test_a_second_run_ends_at_once(path: Finished) -> None:
    begin = time.monotonic()
    again = Place(path.folder).tagloom("run", "tiny.yaml", "--json")
    assert again.code == 0
    assert again.document["reused"] is True
    assert again.document["outcomes"] == path.answer.document["outcomes"]
    assert time.monotonic() - begin < 10


def test_the_next_step_works_and_never_overwrites(path: Finished) -> None:
    words = path.answer.document["next"][0].split()
    assert words[0] == "tagloom"
    assert words[-2:] == ["--store", "store"]
    answer = path.tagloom(*words[1:-2])
    assert answer.code == 0, answer.err
    pictures = sorted((path.folder / "pictures").glob("*.png"))
    assert len(pictures) == 16
    assert len({picture.read_bytes() for picture in pictures}) == 16
    pictures[0].write_bytes(b"mine")
    assert "[FILE_EXISTS]" in path.tagloom(*words[1:-2]).err
    assert pictures[0].read_bytes() == b"mine"


def test_what_is_referred_to_is_not_removed(path: Finished) -> None:
    document = path.answer.document
    for name in (document["collection"], document["dataset"], document["outcomes"][0]["run"]):
        answer = path.tagloom("rm", name)
        assert answer.code == 1
        assert "[STILL_REFERENCED]" in answer.err


def test_without_learning_nothing_changes_and_the_gate_is_missed(path: Finished) -> None:
    (path.folder / "tiny.yaml").write_text(FILE.replace("\n  kimg: 0.096", STILL))
    answer = path.tagloom("run", "tiny.yaml", "--json")
    assert answer.code == 0, answer.err
    document = answer.document
    # Only what depends on the change was done again.
    assert document["dataset"] == path.answer.document["dataset"]
    assert "(there already)" in answer.err
    (outcome,) = document["outcomes"]
    assert outcome["run"] != path.answer.document["outcomes"][0]["run"]
    assert outcome["gate_passed"] is False
    assert document["gate_passed"] is False
    run = path.tagloom("get", outcome["run"], "--json").document
    assert run["g_parameter_change"] == 0
    assert run["d_parameter_change"] == 0
    report = (path.folder / document["report"]).read_text()
    assert "Not shown to be better" in report


def test_a_grid_through_kfp_local_fills_its_artifacts_in(path: Finished, tmp_path: Path) -> None:
    """What `tagloom run` executes, in a folder that stays: two cells at once, beside each other."""
    cells = FILE.replace("  kimg: 0.096\n", "  kimg: 0.032\n  augment: [ada, none]\n")
    grid = path.folder / "grid.yaml"
    grid.write_text(cells.replace("experiment: tiny", "experiment: grid"))
    prepared = ExperimentRun.prepare(grid, str(path.folder / "store"))
    arguments = tmp_path / "arguments.json"
    arguments.write_text(json.dumps(prepared.arguments()))
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.local", str(arguments), str(tmp_path / "kfp")],
        env={
            **environment(),
            "TAGLOOM_TARGET": path.place.target,
            "TAGLOOM_STORE": prepared.store.url,
            "TAGLOOM_EVENTS": str(tmp_path / "events.jsonl"),
        },
        cwd=path.folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    outputs = defaultdict(list)
    for file in sorted((tmp_path / "kfp").rglob("executor_output.json")):
        outputs[file.parent.name].append(artifacts_of(json.loads(file.read_text())))
    assert {step: len(found) for step, found in outputs.items()} == {
        "collect-photos": 1,
        "filter-photos": 1,
        "train-run": 2,
        "evaluate-run": 2,
        "write-report": 1,
        "close-experiment": 1,
        "plan-runs": 1,
    }

    (collected,), (filtered,) = outputs["collect-photos"], outputs["filter-photos"]
    assert metrics(collected["counts"]) == {
        "items": 5, "stored": 4, "duplicates": 0, "skipped": 1, "refused": 0,
    }  # fmt: skip
    assert metrics(filtered["counts"])["judged"] == 4
    assert metrics(filtered["counts"])["kept"] == 2
    assert metrics(filtered["counts"])["train_squares"] > 0

    document = path.tagloom("get", "experiments/grid", "--json").document
    assert document["state"] == "succeeded"
    by_run = {outcome["run"]: outcome for outcome in document["outcomes"]}
    assert len(by_run) == 2
    for trained in outputs["train-run"]:
        assert metrics(trained["progress"])["kimg"] == 0.032
        assert metrics(trained["progress"])["steps"] == 4
        assert metrics(trained["progress"])["g_parameter_change"] > 0
        model = trained["model"]
        assert json.loads(Path(model["uri"]).read_text()) == model["metadata"]
        snapshot = path.tagloom("ls", f"{model['metadata']['run']}/snapshots", "--json").document[
            -1
        ]
        assert model["metadata"]["snapshot"] == snapshot["name"]
        assert model["metadata"]["weights_sha256"] == snapshot["weights_sha256"]
        assert model["metadata"]["kimg"] == 0.032
    assert {trained["model"]["metadata"]["run"] for trained in outputs["train-run"]} == set(by_run)
    for evaluated in outputs["evaluate-run"]:
        model = evaluated["model"]
        assert json.loads(Path(model["uri"]).read_text()) == model["metadata"]
        (outcome,) = [
            o for o in by_run.values() if o["evaluation"] == model["metadata"]["evaluation"]
        ]
        assert model["metadata"]["snapshot"] == outcome["best_snapshot"]
        assert model["metadata"]["gate"] == outcome["gate_sentence"]
        scores = metrics(evaluated["scores"])
        assert scores["gate_passed"] == outcome["gate_passed"]
        kernels = {name: score for name, score in scores.items() if name.startswith("kernel_")}
        assert len(kernels) == 2  # at 0 and at 0.032 kimg
        assert min(kernels.values()) == outcome["kernel_distance"]
    (report,), (closed,) = outputs["write-report"], outputs["close-experiment"]
    page = Path(report["page"]["uri"]).read_text()
    assert page == (path.folder / "store" / "experiments" / "grid" / "report.html").read_text()
    assert "Training: scratch, ada" in page
    assert "Training: scratch, none" in page
    assert "Complete" in Path(closed["page"]["uri"]).read_text()
    assert metrics(report["summary"])["runs"] == 2
    assert metrics(closed["summary"]) == {"runs": 2, "succeeded": 1}


def artifacts_of(output: dict[str, Any]) -> dict[str, Any]:
    """The artifacts that a step reports to Kubeflow, by name."""
    return {name: found["artifacts"][0] for name, found in output.get("artifacts", {}).items()}


def metrics(artifact: dict[str, Any]) -> dict[str, float]:
    """The values of a Metrics artifact (which kind each is: tests/pipelines/test_experiment.py)."""
    return dict(artifact["metadata"])


def test_scored_twice_answers_twice(path: Finished) -> None:
    (outcome,) = path.answer.document["outcomes"]
    command = ["evaluate", outcome["run"], "--samples", "8", "--json"]
    first, again = path.tagloom(*command), path.tagloom(*command)
    assert first.code == again.code == 0, first.err + again.err
    assert again.document == first.document
    assert "Scored before" in again.err
    assert "Scored before" not in first.err


def test_unknown_things_are_named(path: Finished) -> None:
    for arguments, says in [
        (["train", "--run", "r", "--dataset", "cats", "--kimg", "1"], "datasets/cats"),
        (["evaluate", "cats"], "runs/cats"),
        (["resume", "cats"], "runs/cats"),
    ]:
        answer = path.tagloom(*arguments)
        assert answer.code == 1
        assert says in answer.err
        assert "_NOT_FOUND]" in answer.err
