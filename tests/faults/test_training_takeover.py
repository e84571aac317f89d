"""A trainer server killed in the middle of a training: its process ends, its successor goes on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from services.trainer import records
from services.trainer.state import list_states
from tagloom.client.clients import connect
from tagloom.store import open_store
from tagloom.v1 import trainer_pb2 as pb
from tests.plugins.training_pieces import TINY, write_dataset

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 300.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def start_server(store_url: str, port: int, log: Path) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TAGLOOM_TORCH_THREADS": "1",
        "TAGLOOM_STATE_IMAGES": "20",
    }
    with log.open("ab") as output:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "services.trainer.server", "--store", store_url),
                *("--address", f"127.0.0.1:{port}", "--lease-s", "3", "--workers", "1"),
            ],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def training_processes(store_url: str) -> list[int]:
    """Process ids of torchrun and the worker of a run in this store."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"services.trainer.worker" in command and store_url.encode() in command:
                found.append(int(entry.name))
    return found


def wait_until(condition: Callable[[], bool], log: Path, patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {patience_s} s in vain: {log.read_text()[-3000:]}")
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc; PR_SET_PDEATHSIG is Linux's")
def test_a_server_killed_while_it_trains_is_succeeded(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    write_dataset(store)
    log = tmp_path / "server.log"
    port = free_port()
    server = start_server(store.url, port, log)
    try:
        wait_until(lambda: listening(port), log)
        with connect(f"127.0.0.1:{port}") as clients:
            options = {**TINY, "config": "CONFIG_STYLEGAN2", "kimg": 0.2, "snapshot_kimg": 0.1}
            operation = clients.trainer.CreateRun(
                pb.CreateRunRequest(
                    run_id="r", dataset="datasets/d", options=pb.TrainingOptions(**options)
                )
            )
            wait_until(lambda: bool(list_states(store, "r")), log)
            server.send_signal(signal.SIGKILL)
            server.wait(30)
            wait_until(lambda: not training_processes(store.url), log, 30)
            saved = records.read_progress(store, "r")
            assert saved is not None
            assert records.read_run(store, "r").state == "running", "it ended too early to tell"

            server = start_server(store.url, port, log)
            run = clients.wait(operation, pb.Run, timeout_s=PATIENCE_S, patience_s=PATIENCE_S)
        assert (run.state, run.images_seen, run.steps) == (pb.Run.STATE_SUCCEEDED, 200, 50)
        assert run.attempts == 2
        assert run.seconds >= saved.seconds, "the second process began anew"
        assert [tick.kimg for tick in records.read_ticks(store, "r")] == sorted(
            {round(0.016 * k, 3) for k in range(1, 13)} | {0.2}
        )
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0, log.read_text()[-3000:]
        assert not training_processes(store.url)
    finally:
        server.kill()
        server.wait(30)
