"""A trainer's server that is killed while its training runs in a Job: the next one takes over."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live_cluster import Cluster as Plane
from played_node import PlayedNode, wait_until
from training_pieces import TINY

from services.trainer import records
from tagloom.client.clients import connect
from tagloom.store import Store
from tagloom.v1 import trainer_pb2 as pb

ROOT = Path(__file__).resolve().parents[3]

Serve = Callable[[], tuple[subprocess.Popen[bytes], int]]


@pytest.fixture
def serve(
    trainer_config: Path, store: Store, minio_user: dict[str, str], tmp_path: Path
) -> Iterator[Serve]:
    """Starts a server as its Deployment does, with a kubeconfig for the mounted token."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> tuple[subprocess.Popen[bytes], int]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        environment = {
            **os.environ,
            **minio_user,
            "PYTHONPATH": str(ROOT),
            "KUBECONFIG": str(trainer_config),
            "TAGLOOM_STORE": store.url,
            "TAGLOOM_ADDRESS": f"127.0.0.1:{port}",
            "TAGLOOM_LEASE_S": "3",
            "TAGLOOM_LAUNCHER": "job",
            "TAGLOOM_JOB_IMAGE": "tagloom/training:0.1.0",
            "TAGLOOM_JOB_CPU": "500m",
            "TAGLOOM_JOB_MEMORY": "1Gi",
            "TAGLOOM_JOB_ENV": "TAGLOOM_STATE_IMAGES=12",
        }
        with (tmp_path / "server.log").open("ab") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "services.trainer.server"],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        started.append(server)
        wait_until("the server listens", lambda: listening(port))
        return server, port

    yield start
    for server in started:
        server.kill()
        server.wait()


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_trainer_and_training_pod_killed_mid_run(
    plane: Plane,
    played_node: PlayedNode,
    store: Store,
    serve: Serve,
    images_seen: Callable[[str], int],
) -> None:
    server, port = serve()
    options = {**TINY, "config": "CONFIG_STYLEGAN2", "kimg": 1.6, "snapshot_kimg": 0.8}
    with connect(f"127.0.0.1:{port}") as clients:
        request = pb.CreateRunRequest(
            run_id="r", dataset="datasets/d", options=pb.TrainingOptions(**options)
        )
        operation = clients.trainer.CreateRun(request)
        wait_until("it trains", lambda: images_seen("r"))
    server.send_signal(signal.SIGKILL)
    server.wait()
    reached = images_seen("r")
    wait_until("the pod trains on", lambda: images_seen("r") > reached)
    played_node.kill(played_node.commands[0][0])  # SIGKILL, with nobody there to see it
    wait_until("another pod trains", lambda: records.read_run(store, "r").attempts == 2)

    server, port = serve()
    with connect(f"127.0.0.1:{port}") as clients:
        run = clients.wait(operation, pb.Run, timeout_s=500, patience_s=500)
    assert (run.state, run.images_seen, run.attempts) == (pb.Run.STATE_SUCCEEDED, 1600, 2)
    assert len(played_node.commands) == 2
    kimg = [tick.kimg for tick in records.read_ticks(store, "r")]
    assert kimg == sorted({round(0.016 * k, 3) for k in range(1, 101)}), "trained twice, or not"
    job = plane.get("job", "train-r", "-n", "tagloom")
    assert job["metadata"]["annotations"]["tagloom.dev/operation"] == operation.name

    def succeeded() -> bool:  # its controller may be a moment behind the store
        return bool(plane.get("job", "train-r", "-n", "tagloom")["status"].get("succeeded") == 1)

    wait_until("the Job's success", succeeded, 60)
    server.send_signal(signal.SIGTERM)
    assert server.wait(60) == 0
