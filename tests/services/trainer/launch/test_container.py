"""The training container's first process, as a kubelet starts it: what its exit code says."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.trainer import records
from services.trainer.launch import Assignment
from services.trainer.launch.manifests import job_manifest
from services.trainer.launch.settings import JobSettings
from services.trainer.options import RequestedOptions, plan_run
from services.trainer.worker_events import ErrorEvent, parse_event
from tagloom.artifacts import layout
from tagloom.store import Store, open_store
from tests.plugins.training_pieces import TINY, write_dataset

ROOT = Path(__file__).resolve().parents[4]
PATIENCE_S = 300.0

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(str(tmp_path / "store"))
    write_dataset(store)
    options = RequestedOptions(**{**TINY, "kimg": 0.4, "snapshot_kimg": 0.2})
    run = plan_run(store, "r", "datasets/d", "", options)
    run.create(store, layout.run_document("r"), "runs/r")
    return store


@pytest.fixture
def termination_log(tmp_path: Path) -> Path:
    path = tmp_path / "termination-log"
    path.touch()
    return path


@pytest.fixture
def start(store: Store, tmp_path: Path, termination_log: Path) -> Iterator[Start]:
    """The container of the Job that would be made, with its own command and variables."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(**settings: object) -> subprocess.Popen[bytes]:
        assignment = Assignment(store.url, "r", lease_s=1.0)
        job = job_manifest(JobSettings(image="i:1", **settings), assignment, store.url)  # type: ignore[arg-type]
        (container,) = job["spec"]["template"]["spec"]["containers"]
        variables = {entry["name"]: entry["value"] for entry in container["env"]}
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *container["command"][1:]],
                env={
                    **os.environ,
                    **variables,
                    "PYTHONPATH": str(ROOT),
                    "NUMBA_CACHE_DIR": str(tmp_path / "numba"),
                    "TAGLOOM_TERMINATION_LOG": str(termination_log),
                    "TAGLOOM_TORCH_THREADS": "1",
                    "PET_MASTER_PORT": str(free_port()),
                },
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def images_seen(store: Store) -> int:
    progress = records.read_progress(store, "r")
    return progress.images_seen if progress else 0


def worker_of(process: subprocess.Popen[bytes]) -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in map(int, children):
        if b"services.trainer.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
            return child
    pytest.fail("there is no worker")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_interrupted_killed_and_trained_to_the_end(store: Store, start: Start) -> None:
    first = start()
    wait_for(lambda: images_seen(store) > 0)
    first.send_signal(signal.SIGTERM)
    assert first.wait(PATIENCE_S) == 75, "saved and interrupted"
    assert records.read_run(store, "r").state == "queued"
    reached = images_seen(store)

    second = start()
    wait_for(lambda: images_seen(store) > reached)
    os.kill(worker_of(second), signal.SIGKILL)
    assert second.wait(PATIENCE_S) == 137, "as Kubernetes says it"
    assert records.read_run(store, "r").state == "running"

    third = start()
    assert third.wait(PATIENCE_S) == 0
    run = records.read_run(store, "r")
    assert (run.state, run.attempts) == ("succeeded", 3)
    assert images_seen(store) == 400

    late = start()
    assert late.wait(PATIENCE_S) == 0
    assert records.read_run(store, "r").attempts == 3, "a finished run was trained again"


@pytest.mark.parametrize("seconds", [0.2, 0.3, 0.5])
def test_told_to_end_before_there_is_anything_to_save(
    store: Store, start: Start, seconds: float
) -> None:
    process = start()
    time.sleep(seconds)  # torch is being imported, which takes seconds
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) in (75, -signal.SIGTERM)
    assert records.read_run(store, "r").state == "queued"


def test_a_failure_is_written_where_kubernetes_reads_it(
    store: Store, start: Start, termination_log: Path
) -> None:
    store.delete(layout.dataset_images("d"))
    assert start().wait(PATIENCE_S) == 1, "a Job must not try that again"
    event = parse_event(termination_log.read_text())
    assert isinstance(event, ErrorEvent)
    run = records.read_run(store, "r")
    assert (run.state, run.message) == ("failed", event.message)


def test_two_ranks_in_one_pod(store: Store, start: Start) -> None:
    run = records.read_run(store, "r")
    options = run.options.model_copy(update={"micro_batch": 2, "kimg": 0.064})
    records.update_run(store, run, options=options)
    assert start(processes=2).wait(PATIENCE_S) == 0
    assert records.read_run(store, "r").state == "succeeded"
