"""What do durable states cost a training?

    python -m benchmarks.state [--case t64|demo] [--store folder|minio] [--pairs 3] [--threads 2]

One training, in stretches of the time between two states (a minute or a kimg, as scheduled), by
turns with a state and without: what it adds to the wall and the CPU time of a stretch, as a share
of it. Beside that, what needs no comparison and so no quiet machine: how long the training itself
is blocked (the copy in memory), and the writing thread's CPU time. Prints one JSON document.

`t64`: StyleGAN3-T, 64 px, channels up to 128. `demo`: the quickstart's network and batch. `minio`
starts the server that `make minio` built (its own CPU time counts in the wall time alone).
--stretch-s N takes shorter stretches, without R1 where they have at most 15 steps; the shares are
of the scheduled interval all the same.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.request import urlopen

import torch

from benchmarks.training_step import describe_dataset, random_images
from services.trainer import durable
from services.trainer.durable import DurableStates
from services.trainer.freeze import FrozenState
from services.trainer.options import RequestedOptions, plan_run
from services.trainer.schedule import StateSchedule
from services.trainer.session import Session
from tagloom.compute import COMPUTE_ENVIRONMENT
from tagloom.lifeline import die_with_parent
from tagloom.store import Store, open_store
from tools.minio_build import minio_path

CASES: dict[str, tuple[int, str, dict[str, Any]]] = {
    "t64": (64, "", {"batch": 4, "channel_base": 4096, "channel_max": 128}),
    "demo": (32, "networks/photos-32", {"batch": 16, "mirror": True}),
}
"""resolution, start network, options"""


class Writing:
    """Times what the writing thread does."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []
        self._write_state = durable.write_state
        durable.write_state = self._timed

    def _timed(self, store: Store, below: str, frozen: FrozenState, *, keep: int) -> None:
        wall, cpu = time.perf_counter(), time.thread_time()
        self._write_state(store, below, frozen, keep=keep)
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(time.thread_time() - cpu)


def measure(store: Store, given: argparse.Namespace) -> dict[str, Any]:
    """Medians over `given.pairs` stretches with a state and as many without, by turns."""
    torch.set_num_threads(given.threads)
    resolution, start, options = CASES[given.case]
    requested = RequestedOptions(
        config="stylegan3-t", kimg=1000, augment="fixed", augment_p=0.2, **options
    )
    run = plan_run(store, "benchmark", describe_dataset(store, resolution), start, requested)
    session = Session.create(store, run, random_images(resolution))
    schedule = StateSchedule()
    stretch_s = min(given.stretch_s or schedule.seconds, schedule.seconds)
    for _ in range(3):
        session.advance()

    writing, blocked = Writing(), []
    steps: dict[bool, list[int]] = {True: [], False: []}
    wall: dict[bool, list[float]] = {True: [], False: []}
    cpu: dict[bool, list[float]] = {True: [], False: []}
    with DurableStates(store, session, schedule) as states:
        for turn in range(2 * given.pairs):
            with_state = turn % 2 == 0
            # From one R1 phase to another, or without one: all stretches do the same work.
            session.step.steps = 1 if given.stretch_s else 0
            count, began, began_cpu = 0, time.perf_counter(), time.process_time()
            if with_state:
                session.step.images_seen += 1  # a state of its own name
                states.begin()
                blocked.append(time.perf_counter() - began)
            while (
                time.perf_counter() - began < stretch_s
                and count * run.options.batch < schedule.images
            ) or (count % run.options.r1_interval and not given.stretch_s):
                session.advance()
                count += 1
            steps[with_state].append(count)
            wall[with_state].append((time.perf_counter() - began) / count)
            cpu[with_state].append((time.process_time() - began_cpu) / count)
        memory = states.memory
    step_s, step_cpu_s = statistics.median(wall[False]), statistics.median(cpu[False])
    images_in_time = schedule.seconds / step_s * run.options.batch
    interval_steps = min(images_in_time, schedule.images) / run.options.batch
    added = {
        name: statistics.median(a / b - 1 for a, b in zip(times[True], times[False], strict=True))
        # Of a stretch; there is one state in the interval, which may be longer.
        * statistics.median(steps[True])
        / interval_steps
        for name, times in (("wall", wall), ("cpu", cpu))
    }
    later = blocked[1:] or blocked
    return {
        "state_mib": round(memory / 2**20, 1),
        "interval_s": round(interval_steps * step_s, 1),
        "images_between_states": round(interval_steps * run.options.batch),
        "added": {name: round(share, 4) for name, share in added.items()},
        "blocked_ms": {
            "first": round(blocked[0] * 1000, 1),
            "median": round(statistics.median(later) * 1000, 1),
            "most": round(max(later) * 1000, 1),
        },
        "blocked_share": round(statistics.median(later) / interval_steps / step_s, 5),
        "writing_s": {
            "wall": round(statistics.median(writing.wall), 3),
            "cpu": round(statistics.median(writing.cpu), 3),
        },
        "writing_share_of_cpu": round(
            statistics.median(writing.cpu) / interval_steps / step_cpu_s, 5
        ),
        "steps": {"with": steps[True], "without": steps[False]},
        "step_s": {"with": _rounded(wall[True]), "without": _rounded(wall[False])},
        "step_cpu_s": {"with": _rounded(cpu[True]), "without": _rounded(cpu[False])},
    }


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 4) for value in values]


@contextlib.contextmanager
def _store(kind: str) -> Iterator[Store]:
    with tempfile.TemporaryDirectory(prefix="tagloom-benchmark-") as folder:
        if kind == "folder":
            yield open_store(folder)
            return
        if not minio_path().exists():
            raise SystemExit("There is no MinIO server; run `make minio`.")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        user = {"MINIO_ROOT_USER": "benchmark", "MINIO_ROOT_PASSWORD": "only-on-loopback"}
        server = subprocess.Popen(
            [str(minio_path()), "server", "--address", address, f"{folder}/data"],
            env={**os.environ, **user, "HOME": folder, "MINIO_BROWSER": "off"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        try:
            for _ in range(600):
                with contextlib.suppress(OSError):
                    urlopen(f"http://{address}/minio/health/ready", timeout=2).close()
                    break
                time.sleep(0.05)
            os.environ |= {
                "MINIO_ENDPOINT": f"http://{address}",
                "MINIO_ACCESS_KEY": user["MINIO_ROOT_USER"],
                "MINIO_SECRET_KEY": user["MINIO_ROOT_PASSWORD"],
            }
            yield open_store("s3://benchmark")
        finally:
            server.kill()
            server.wait()


def main() -> None:
    """Prints the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--case", choices=list(CASES), default="t64")
    parser.add_argument("--store", choices=["folder", "minio"], default="folder")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--stretch-s", type=float, default=0.0)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    if not COMPUTE_ENVIRONMENT.keys() <= os.environ.keys():
        module = [sys.executable, "-m", "benchmarks.state", *sys.argv[1:]]
        os.execve(sys.executable, module, {**COMPUTE_ENVIRONMENT, **os.environ})
    load = os.getloadavg()
    with _store(given.store) as store:
        result = {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
            "torch": torch.__version__,
            **vars(given),
            **measure(store, given),
            "load_before": round(load[0], 1),
            "load_after": round(os.getloadavg()[0], 1),
        }
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
