"""What an experiment's run recognises as done, and what it hands to the pipeline."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipelines.run import ExperimentRun
from pipelines.steps.events import Event, Failed
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.experiment import Experiment, Outcome
from tagloom.errors import FailedPrecondition, InvalidArgument, Unavailable
from tagloom.store import Store, open_store

FILE = """\
experiment: cats
collect: {folder: photos}
filter: {resolution: 256, output_size: 16}
train: {kimg: 2}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"a photo")
    path = tmp_path / "cats.yaml"
    path.write_text(FILE)
    return path


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "store")


def complete(run: ExperimentRun) -> Store:
    """Leaves in the store what a finished pipeline leaves."""
    store = run.store
    outcome = Outcome(
        label="scratch, ada",
        run="runs/r",
        evaluation="evaluations/e",
        best_snapshot="runs/r/snapshots/000002.000",
        kernel_distance=0.5,
        gate_passed=True,
        gate_sentence="It fell.",
    )
    document = Experiment(
        id="cats",
        create_time=now(),
        update_time=now(),
        state="succeeded",
        inputs_sha256=run.inputs,
        salt=run.salt,
        outcomes=(outcome,),
    )
    store.put(layout.evaluation("e"), b"{}")
    store.put(layout.snapshot_manifest("r", "000002.000"), b"{}")
    store.put(layout.experiment_report("cats"), b"<html>")
    store.put(layout.experiment_document("cats"), document.to_bytes())
    return store


def test_an_unchanged_experiment_is_recognised(file: Path, url: str) -> None:
    first = ExperimentRun.prepare(file, url)
    assert first.finished is None
    complete(first)
    again = ExperimentRun.prepare(file, url)
    assert again.finished is not None
    assert again.finished.outcomes[0].gate_sentence == "It fell."


@pytest.mark.parametrize("change", ["spec", "photos", "report", "snapshot", "evaluation"])
def test_whatever_matters_makes_it_run_again(file: Path, url: str, change: str) -> None:
    store = complete(ExperimentRun.prepare(file, url))
    if change == "spec":
        file.write_text(FILE.replace("kimg: 2", "kimg: 3"))
    elif change == "photos":
        (file.parent / "photos" / "b.jpg").write_bytes(b"another")
    elif change == "report":
        store.delete(layout.experiment_report("cats"))
    elif change == "snapshot":
        store.delete(layout.snapshot_manifest("r", "000002.000"))
    else:
        store.delete(layout.evaluation("e"))
    assert ExperimentRun.prepare(file, url).finished is None


def test_comments_and_order_do_not_matter(file: Path, url: str) -> None:
    complete(ExperimentRun.prepare(file, url))
    file.write_text("# a comment\n" + "\n".join(reversed(FILE.splitlines())) + "\n")
    assert ExperimentRun.prepare(file, url).finished is not None


def test_fresh_draws_a_salt_that_the_next_run_keeps(file: Path, url: str) -> None:
    complete(ExperimentRun.prepare(file, url))
    fresh = ExperimentRun.prepare(file, url, fresh=True)
    assert fresh.finished is None
    assert fresh.salt
    assert fresh.salt != ExperimentRun.prepare(file, url, fresh=True).salt
    # Nothing was written yet: what is there is still the finished one.
    assert ExperimentRun.prepare(file, url).finished is not None
    complete(fresh)
    assert ExperimentRun.prepare(file, url).salt == fresh.salt


def test_a_damaged_document_does_not_stand_in_the_way(file: Path, url: str) -> None:
    complete(ExperimentRun.prepare(file, url)).put(layout.experiment_document("cats"), b"{torn")
    assert ExperimentRun.prepare(file, url).finished is None


def test_the_pipelines_arguments_are_json_without_what_is_default(file: Path, url: str) -> None:
    arguments = ExperimentRun.prepare(file, url).arguments()
    assert json.loads(json.dumps(arguments)) == arguments
    assert arguments["train"] == {"kimg": 2.0}
    assert arguments["experiment"]["collect"] == {"folder": str(file.parent / "photos")}
    assert arguments["evaluate"] == {}


def test_a_wrong_file_makes_no_store(file: Path, url: str) -> None:
    file.write_text("experiment: cats\n")
    with pytest.raises(InvalidArgument):
        ExperimentRun.prepare(file, url)
    assert not Path(url).exists()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)  # looked up again
    return folder


def test_the_error_of_a_step_comes_back_as_it_was(file: Path, url: str, temporary: Path) -> None:
    events: list[Event] = []
    run = ExperimentRun.prepare(file, url)
    # Nobody listens on port 1: the first step fails, by the real pipeline in a real process.
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1") as caught:
        run.execute("127.0.0.1:1", events.append)
    assert caught.value.reason == "SERVER_UNREACHABLE"
    steps = [(event.step, event.kind) for event in events]
    assert steps[:2] == [("collect", "started"), ("collect", "failed")]
    assert isinstance(events[1], Failed)
    # The exit handler still runs: what went wrong stands in the store.
    assert steps[2:] == [("close", "started"), ("close", "closed"), ("close", "finished")]
    document = Experiment.load(run.store, layout.experiment_document("cats"), "cats")
    assert document.state == "failed"
    assert "127.0.0.1:1" in document.error
    assert ExperimentRun.prepare(file, url).finished is None
    assert list(temporary.iterdir()) == []  # nobody is sent there


def test_an_interrupted_experiment_does_not_seem_to_run(
    file: Path, url: str, temporary: Path
) -> None:
    run = ExperimentRun.prepare(file, url)

    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.execute("127.0.0.1:1", interrupt)
    document = Experiment.load(run.store, layout.experiment_document("cats"), "cats")
    assert (document.state, document.error) == (
        "failed",
        "Interrupted; the same command continues.",
    )
    assert list(temporary.iterdir()) == []


FULL = """\
import os, sys, tempfile
from pathlib import Path
from pipelines.run import ExperimentRun
from tagloom.errors import TagloomError

run = ExperimentRun.prepare(Path(sys.argv[1]), sys.argv[2])
os.environ["TMPDIR"] = tempfile.tempdir = sys.argv[3]
try:
    run.execute("127.0.0.1:1", lambda event: None)
except TagloomError as error:
    print(error.reason, error.message)
print(os.listdir(sys.argv[3]))
"""


def test_a_full_disk_is_named_and_not_a_log_that_has_no_room_either(
    file: Path, url: str, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    unshare = ["unshare", "--mount", "--map-root-user"]
    mount = f"mount -t tmpfs -o size=12k none '{disk}'"  # room for the arguments, and no more
    if subprocess.run([*unshare, "sh", "-c", mount], capture_output=True).returncode != 0:
        pytest.skip("this kernel lets us mount nothing")
    script = [sys.executable, "-c", FULL, str(file), url, str(disk)]
    done = subprocess.run(
        [*unshare, "sh", "-c", f'{mount} && exec "$@"', "sh", *script],
        capture_output=True,
        text=True,
        check=True,
    )
    told, left = done.stdout.splitlines()
    assert told.startswith(f"DISK_FULL There is no room to write {disk}/tagloom-run-")
    assert told.endswith("free some space and try again.")
    assert left == "[]"
    document = Experiment.load(open_store(url), layout.experiment_document("cats"), "cats")
    assert document.state == "failed"
    assert "[DISK_FULL]" in document.error


def test_a_pipeline_that_dies_without_a_word_names_its_log(
    file: Path, url: str, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An interpreter that cannot start: what a broken installation looks like.
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with pytest.raises(FailedPrecondition, match="its log says why") as caught:
        ExperimentRun.prepare(file, url).execute("127.0.0.1:1", lambda event: None)
    log = Path(caught.value.metadata["log"])
    assert "nowhere" in log.read_text()
    assert log.is_relative_to(temporary)
    document = Experiment.load(open_store(url), layout.experiment_document("cats"), "cats")
    assert document.state == "failed"
    assert "[PIPELINE_FAILED]" in document.error
