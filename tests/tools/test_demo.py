"""What `make demo` answers: the gate decides its exit code, and its next step can be typed."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import pytest

from pipelines.run import ExperimentRun
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.experiment import Experiment, Outcome
from tools import demo

FILE = """\
experiment: tiny
collect: {folder: ../demo/photos}
filter: {resolution: 256, output_size: 16}
train: {kimg: 2}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout's folder with photos in place and a small experiment; `tagloom run` is real."""
    photos = tmp_path / "demo" / "photos"
    photos.mkdir(parents=True)
    (photos / "a.jpg").write_bytes(b"a photo")
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "quickstart.yaml").write_text(FILE)
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    monkeypatch.setattr(demo, "EXPERIMENT", tmp_path / "examples" / "quickstart.yaml")
    monkeypatch.delenv("TAGLOOM_STORE", raising=False)
    monkeypatch.delenv("TAGLOOM_TARGET", raising=False)
    return tmp_path


def finish(root: Path, *, passed: bool) -> None:
    """Leaves in the store what a whole run leaves there."""
    run = ExperimentRun.prepare(demo.EXPERIMENT, str(root / "tagloom-data"))
    outcome = Outcome(
        label="scratch, ada",
        run="runs/r",
        evaluation="evaluations/e",
        best_snapshot="runs/r/snapshots/000002.000",
        kernel_distance=0.5,
        gate_passed=passed,
        gate_sentence="It fell." if passed else "It did not fall.",
    )
    document = Experiment(
        id="tiny",
        create_time=now(),
        update_time=now(),
        state="succeeded",
        inputs_sha256=run.inputs,
        outcomes=(outcome,),
    )
    run.store.put(layout.evaluation("e"), b"{}")
    run.store.put(layout.snapshot_manifest("r", "000002.000"), b"{}")
    run.store.put(layout.experiment_report("tiny"), b"<html>")
    run.store.put(layout.experiment_document("tiny"), document.to_bytes())


@pytest.mark.parametrize("passed", [True, False])
def test_the_gate_decides_the_exit_code(
    root: Path, capsys: pytest.CaptureFixture[str], passed: bool
) -> None:
    finish(root, passed=passed)
    assert demo.main([]) == (0 if passed else 1)
    told = capsys.readouterr()
    assert ("It fell." if passed else "It did not fall.") in told.out
    assert "Report  tagloom-data/experiments/tiny/report.html" in told.out
    assert ("The gate was missed" in told.err) is not passed


def test_a_step_that_fails_ends_it_too(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    demo.EXPERIMENT.write_text(FILE.replace("kimg: 2", "kimg: 0"))
    assert demo.main([]) == 1
    assert "[SPEC_INVALID]" in capfd.readouterr().err


def test_the_printed_next_step_is_a_program_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = "tagloom generate --network runs/r/snapshots/000002.000"
    folder = tmp_path / "a b" / ".venv" / "bin"
    folder.mkdir(parents=True)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setattr(demo, "ROOT", tmp_path / "a b")
    assert demo.as_typed_here(command) == command  # not installed there: no better word
    program = folder / "tagloom"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert demo.as_typed_here(command) == f".venv/bin/{command}"
    monkeypatch.setattr(demo, "ROOT", tmp_path / "elsewhere")
    assert shlex.split(demo.as_typed_here(command))[0] == str(program)
    monkeypatch.setenv("PATH", str(folder))  # activated
    assert shutil.which("tagloom") == str(program)
    assert demo.as_typed_here(command) == command
