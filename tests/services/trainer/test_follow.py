"""A run's owner: what it does when the process crashes, fails, or the run is somebody else's."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from services.trainer import records
from services.trainer.follow import Follower, StopReason
from services.trainer.launch import Assignment
from services.trainer.launch.process import LocalProcess
from services.trainer.ownership import lease_key
from services.trainer.runs import list_runs, starting
from services.trainer.schedule import StateSchedule
from services.trainer.worker import _threads
from services.trainer.worker_events import ErrorEvent, StartEvent, parse_event
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.run import Progress, Run
from tagloom.errors import (
    Cancelled,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)
from tagloom.store import Store
from tagloom.store.lease import acquire

ROOT = Path(__file__).resolve().parents[3]


class Commands:
    """A launcher of real processes that run the given programs, one after the other."""

    at_once, starts = 1, 3

    def __init__(self, *programs: str) -> None:
        self.programs = list(programs)
        self.assignments: list[Assignment] = []

    def adopt(self, assignment: Assignment) -> None:
        return None

    def start(self, assignment: Assignment) -> LocalProcess:
        self.assignments.append(assignment)
        program = self.programs[min(len(self.assignments), len(self.programs)) - 1]
        return LocalProcess(
            subprocess.Popen(
                [sys.executable, "-c", program, assignment.store_url, assignment.run_id],
                env={"PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            ),
            f"runs/{assignment.run_id}",
        )


KILLED = "import os; print('about to die', flush=True); os.kill(os.getpid(), 9)"
SUCCEEDS = """
import sys
from services.trainer import records
from tagloom.store import open_store
store = open_store(sys.argv[1])
records.update_run(store, records.read_run(store, sys.argv[2]), state="succeeded")
"""
FULL = """
from services.trainer.worker_events import ErrorEvent
print(ErrorEvent("ResourceExhausted", "The disk is full.", "STORE_FULL", {"free": "0"}).to_line())
raise SystemExit(1)
"""
PATIENT = "import time; time.sleep(60)"


def follower(
    store: Store,
    *programs: str,
    stop: Callable[[], StopReason | None] = lambda: None,
    said: list[str] | None = None,
) -> Follower:
    notes = [] if said is None else said
    return Follower(
        store=store,
        launcher=Commands(*programs),
        note=lambda phase, done, total, message="": notes.append(f"{phase}: {message}"),
        stop=stop,
        lease_s=2.0,
    )


def unchanged(store: Store, run: Run) -> Run:
    return run


def test_a_process_that_crashes_once_is_started_again(
    store: Store, make_run: Callable[..., Run]
) -> None:
    make_run("r")
    said: list[str] = []
    run = follower(store, KILLED, SUCCEEDS, said=said).run("r", unchanged)
    assert run.state == "succeeded"
    assert any("ended without a word, with exit code -9; it is started again" in s for s in said)


def test_one_that_crashes_again_and_again_fails_the_run(
    store: Store, make_run: Callable[..., Run]
) -> None:
    make_run("r")
    with pytest.raises(Unavailable, match=r"3 times in a row.*about to die") as caught:
        follower(store, KILLED).run("r", unchanged)
    assert caught.value.reason == "TRAINING_PROCESS_DIED"
    assert records.read_run(store, "r").state == "failed"


def test_the_workers_own_error_comes_through(store: Store, make_run: Callable[..., Run]) -> None:
    make_run("r")
    with pytest.raises(ResourceExhausted, match=r"The disk is full\.") as caught:
        follower(store, FULL).run("r", unchanged)
    assert (caught.value.reason, caught.value.metadata) == ("STORE_FULL", {"free": "0"})


def test_a_cancelled_run_is_stopped_and_its_process_gone(
    store: Store, make_run: Callable[..., Run]
) -> None:
    make_run("r")
    started = time.monotonic()
    patient = follower(
        store, PATIENT, stop=lambda: "cancel" if time.monotonic() - started > 1 else None
    )
    with pytest.raises(Cancelled):
        patient.run("r", unchanged)
    run = records.read_run(store, "r")
    assert (run.state, run.message) == ("stopped", "Cancelled; can be resumed.")
    assert time.monotonic() - started < 30


def test_whoever_cancels_waits_for_a_long_step(store: Store, make_run: Callable[..., Run]) -> None:
    run = make_run("r")
    watching = follower(store)
    assert watching._stop_grace_s(run, "cancel") == 8
    progress = Progress(images_seen=8, steps=2, seconds=40.0, update_time=now())
    store.put(layout.run_progress("r"), progress.to_bytes())
    assert watching._stop_grace_s(run, "cancel") == 60
    assert watching._stop_grace_s(run, "hand back") == 8


def test_the_workers_exit_code_comes_through_torchrun(store: Store, tmp_path: Path) -> None:
    """75, by which a run that was saved and interrupted is told from one that crashed."""
    worker = tmp_path / "worker.py"
    for ends, code in (("raise SystemExit(75)", 75), ("import os; os.kill(os.getpid(), 9)", 137)):
        worker.write_text(ends)
        command = [sys.executable, "-m", "services.trainer.launch.elastic", str(os.getpid())]
        options = ["--standalone", "--nproc-per-node=1", "--max-restarts=0", str(worker)]
        done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, check=False)
        assert done.returncode == code, done.stderr.decode()


def test_a_run_handed_back_stays_for_the_next_owner(
    store: Store, make_run: Callable[..., Run]
) -> None:
    make_run("r")
    started = time.monotonic()
    patient = follower(
        store, PATIENT, stop=lambda: "hand back" if time.monotonic() - started > 1 else None
    )
    with pytest.raises(Cancelled):
        patient.run("r", unchanged)
    assert records.read_run(store, "r").state == "queued"
    assert follower(store, SUCCEEDS).run("r", unchanged).state == "succeeded"


def test_one_owner_at_a_time(store: Store, make_run: Callable[..., Run]) -> None:
    make_run("r")
    held = acquire(store, lease_key("r"), "another server", 60)
    threading.Timer(1.0, held.release).start()
    said: list[str] = []
    second = follower(store, SUCCEEDS, said=said)
    assert second.run("r", unchanged).state == "succeeded"
    assert any("Another process owns runs/r" in line for line in said)
    launcher = second.launcher
    assert isinstance(launcher, Commands)
    assert len(launcher.assignments) == 1


def test_a_stop_before_the_start_starts_nothing(store: Store, make_run: Callable[..., Run]) -> None:
    run = make_run("r")
    records.request_stop(store, "r")
    idle = follower(store, KILLED)
    assert idle.run("r", starting(run.operation)).state == "stopped"
    assert isinstance(idle.launcher, Commands)
    assert idle.launcher.assignments == []


def test_runs_are_listed_by_id(store: Store, make_run: Callable[..., Run]) -> None:
    for run_id in ("b", "a-2", "a", "a1"):
        make_run(run_id)
    first, token = list_runs(store, 3, "")
    assert [view.run.id for view in first] == ["a", "a-2", "a1"]
    rest, end = list_runs(store, 3, token)
    assert [view.run.id for view in rest] == ["b"]
    assert end == ""


def test_events_survive_the_pipe() -> None:
    start = StartEvent(pid=7, threads=2)
    assert parse_event(start.to_line() + "\n") == start
    error = ErrorEvent.of(ResourceExhausted("Full.", reason="STORE_FULL", path="x"))
    parsed = parse_event(error.to_line())
    assert isinstance(parsed, ErrorEvent)
    assert isinstance(parsed.to_error(), ResourceExhausted)
    assert parsed.to_error().metadata == {"path": "x"}
    assert parse_event("W1122 torch.distributed.run: a log line") is None
    assert parse_event('{"tagloom_event": "unheard of"}') is None
    assert parse_event('["tagloom_event"]') is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TAGLOOM_STATE_SECONDS", "soon"),
        ("TAGLOOM_STATE_IMAGES", "-1"),
    ],
)
def test_wrong_settings_of_the_worker(variable: str, value: str) -> None:
    with pytest.raises(InvalidArgument, match=f"{variable} is '{value}'"):
        StateSchedule.from_environment({variable: value})


def test_the_worker_refuses_wrong_threads() -> None:
    assert _threads({"TAGLOOM_TORCH_THREADS": "3"}) == 3
    assert _threads({}) >= 1
    for text in ("many", "0", "-1"):
        with pytest.raises(InvalidArgument, match=f"TAGLOOM_TORCH_THREADS is '{text}'"):
            _threads({"TAGLOOM_TORCH_THREADS": text})
