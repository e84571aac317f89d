"""Where does a training step spend its time?

    python -m benchmarks.training_step [--config stylegan3-t] [--resolution 32] [--batch 16]
                                       [--threads 2] [--steps 16] [--p 0.3]

Runs whole steps (every phase, EMA, augmentation at a fixed p) on random images and prints one JSON
document: images per second, seconds per kimg, and the share of each part, R1 weighted by how
seldom it comes. CPU time is given beside wall time: on a busy machine only the first means much.
Starts itself again with the environment of a real training process (allocator, sleeping threads);
--default-environment does not.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from services.trainer.dataset import TrainingImages
from services.trainer.options import RequestedOptions, plan_run
from services.trainer.session import Session
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.dataset import Crop, Dataset
from tagloom.artifacts.run import Run
from tagloom.compute import COMPUTE_ENVIRONMENT
from tagloom.networks.build import parameter_count
from tagloom.store import Store, open_store

IMAGES = 256


class Stopwatch:
    """Wall and CPU seconds by part, measured around methods of living objects."""

    def __init__(self) -> None:
        self.wall: dict[str, list[float]] = collections.defaultdict(list)
        self.cpu: dict[str, list[float]] = collections.defaultdict(list)

    def around(self, owner: Any, method: str, name: Callable[..., str]) -> None:
        """Time every call of `owner.method`, under the name that its arguments give."""
        original = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.timing(name(*args)):
                return original(*args, **kwargs)

        setattr(owner, method, timed)

    @contextlib.contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Time the block."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall[name].append(time.perf_counter() - wall)
        self.cpu[name].append(time.process_time() - cpu)


def describe_dataset(store: Store, resolution: int) -> str:
    """Enters a dataset of random images that is only described; returns its name."""
    Dataset(
        id="benchmark",
        create_time=now(),
        collection="collections/none",
        collection_sha256="",
        resolution=resolution,
        crop=Crop(),
        resize_filter="none",
        thresholds=(),
        check_versions={},
        judged=IMAGES,
        kept=IMAGES,
        rejected=0,
        train=IMAGES,
        held_out=0,
        held_out_ratio=0.0,
        seed=0,
        content_sha256="",
        held_out_sha256="",
    ).create(store, layout.dataset_manifest("benchmark"), "datasets/benchmark")
    return "datasets/benchmark"


def random_images(resolution: int) -> TrainingImages:
    """Its images: noise."""
    shape = (IMAGES, 3, resolution, resolution)
    return TrainingImages(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def _run(store: Store, given: argparse.Namespace) -> Run:
    """A run as the service would plan it."""
    requested = RequestedOptions(
        config=given.config,
        kimg=1000,
        batch=given.batch,
        channel_base=given.channel_base,
        channel_max=given.channel_max,
        latent_size=given.latent_size,
        augment="fixed" if given.p > 0 else "none",
        augment_p=given.p,
        mixed_precision=given.mixed_precision,
    )
    dataset = describe_dataset(store, given.resolution)
    return plan_run(store, "benchmark", dataset, "", requested)


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Medians over `given.steps` steps, after two to warm up."""
    torch.set_num_threads(given.threads)
    images = random_images(given.resolution)
    with tempfile.TemporaryDirectory(prefix="tagloom-benchmark-") as folder:
        store = open_store(folder)
        session = Session.create(store, _run(store, given), images)
    step, losses = session.step, session.step.losses
    watch = Stopwatch()
    watch.around(step, "_run_phase", lambda phase, *_: phase.name)
    watch.around(step, "_average", lambda: "EMA")
    watch.around(images, "batch", lambda *_: "input")
    watch.around(losses, "_synthesize", lambda phase, *_: f"G forward, {phase}")
    watch.around(losses.D, "forward", lambda *_: "D forward")
    if losses.augment is not None:
        watch.around(losses.augment, "forward", lambda *_: "augmentation forward")
    for _ in range(2):
        session.advance()
    watch.wall.clear()
    watch.cpu.clear()
    for index in range(given.steps):
        # One step with R1 among those measured is enough: its phase is timed by itself.
        step.steps = 0 if index == 0 else 1
        with watch.timing("step"):
            session.advance()

    # Steps without a regulariser, and what the regularisers add on average.
    plain = {kind: statistics.median(values["step"][1:]) for kind, values in _kinds(watch)}
    intervals = {phase.name: phase.interval for phase in step.phases if phase.interval > 1}
    added = {
        kind: {name: statistics.median(values[name]) / n for name, n in intervals.items()}
        for kind, values in _kinds(watch)
    }
    total = {kind: plain[kind] + sum(added[kind].values()) for kind in plain}
    parts: dict[str, Any] = {}
    for name in ("Gmain", "Dmain", "EMA", "input"):
        parts[name] = statistics.median(watch.cpu[name]) / total["cpu"]
    parts |= {name: value / total["cpu"] for name, value in added["cpu"].items()}
    inner = {
        kind: {
            name: round(statistics.median(times) * 1000, 1)
            for name, times in values.items()
            if name != "EMA"
        }
        for kind, values in _kinds(watch)
    }
    return {
        "images_per_second": given.batch / total["wall"],
        "seconds_per_kimg": total["wall"] / given.batch * 1000,
        "images_per_cpu_second": given.batch / total["cpu"],
        "share_of_cpu_time": {name: round(share, 3) for name, share in parts.items()},
        "ms_per_call": inner,
        "parameters": {name: parameter_count(net) for name, net in session.networks.items()},
        "r1_interval": session.run.options.r1_interval,
    }


def _kinds(watch: Stopwatch) -> list[tuple[str, dict[str, list[float]]]]:
    return [("wall", watch.wall), ("cpu", watch.cpu)]


def main() -> None:
    """Prints the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--config", default="stylegan3-t")
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--channel-base", type=int, default=1024)
    parser.add_argument("--channel-max", type=int, default=32)
    parser.add_argument("--latent-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--p", type=float, default=0.3, help="augmentation probability")
    parser.add_argument("--mixed-precision", action="store_true")
    parser.add_argument("--default-environment", action="store_true")
    given = parser.parse_args()
    if not given.default_environment and not COMPUTE_ENVIRONMENT.keys() <= os.environ.keys():
        module = [sys.executable, "-m", "benchmarks.training_step", *sys.argv[1:]]
        os.execve(sys.executable, module, {**COMPUTE_ENVIRONMENT, **os.environ})
    load = os.getloadavg()[0]
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        "torch": torch.__version__,
        "environment": {name: os.environ.get(name) for name in COMPUTE_ENVIRONMENT},
        "load_before": load,
        **vars(given),
        **measure(given),
    }
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
