"""A batch in micro-batches: on one rank or two, the same gradients, means and decisions."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from services.trainer import records
from services.trainer.draws import KeyedDraws
from services.trainer.launch.interface import Assignment
from services.trainer.launch.process import ProcessLauncher
from services.trainer.loop import train
from services.trainer.microbatches import MicroBatches
from services.trainer.opening import open_session
from services.trainer.ranks import ALONE, Ranks
from services.trainer.session import Session
from services.trainer.state import StateManifest, list_states
from tagloom.artifacts.run import Run
from tagloom.errors import FailedPrecondition, InvalidArgument
from tagloom.networks.catalog import open_network
from tagloom.progress import silent
from tagloom.store import Store
from tests.plugins.training_pieces import write_dataset

SHARED: dict[str, Any] = {"batch": 8, "micro_batch": 4, "ada_target": -1.0, "augment": "ada"}
STYLEGAN3 = {"config": "stylegan3-t", "num_layers": 4, "margin_size": 4}


def fresh(store: Store, run: Run) -> Session:
    return open_session(store, run, ALONE)[0]


@pytest.mark.parametrize("config", [{}, STYLEGAN3], ids=["stylegan2", "stylegan3"])
def test_each_micro_batch_is_computed_as_if_it_were_alone(
    store: Store, make_run: Callable[..., Run], config: dict[str, Any]
) -> None:
    """Gradients and running means are the averages of those of separate computations."""
    run = make_run(**SHARED, **config, seed=3)
    together = fresh(store, run)
    step = together.step
    indices, mirrored = together.sampler.at(0, 8)
    real = together.images.batch(indices, mirrored)
    draws = KeyedDraws(seed=3, step=0, batch=8, z_dim=8, style_mixing=0.9)
    for phase in step.phases:
        phase.network.requires_grad_(True).zero_grad()
        step.micro_batches.accumulate(
            step.losses, phase.name, real, None, draws, gain=2, images_seen=0
        )
        phase.network.requires_grad_(False)
        expected_gradients: dict[str, Tensor] = {}
        expected_means: list[Tensor] = []
        for start in (0, 4):
            alone = fresh(store, run).step
            network = alone.G if phase.network is step.G else alone.D
            network.requires_grad_(True)
            part = slice(start, start + 4)
            alone.losses.accumulate(
                phase.name, real[part], None, draws.part(part), gain=2, images_seen=0
            )
            for name, parameter in network.named_parameters():
                if parameter.grad is not None:
                    sofar = expected_gradients.get(name, torch.zeros([]))
                    expected_gradients[name] = sofar + parameter.grad / 2
            means = [mean / 2 for mean in alone.losses.running_means(phase.name)]
            expected_means = (
                [a + b for a, b in zip(expected_means, means, strict=True)]
                if expected_means
                else means
            )
        got = {n: p.grad for n, p in phase.network.named_parameters() if p.grad is not None}
        assert got.keys() == expected_gradients.keys()
        for name, gradient in got.items():
            scale = float(expected_gradients[name].abs().max()) + 1e-12
            assert float((gradient - expected_gradients[name]).abs().max()) < 1e-4 * scale, name
        for mean, expected in zip(
            step.losses.running_means(phase.name), expected_means, strict=True
        ):
            torch.testing.assert_close(mean, expected)
        # The next phase is compared from the start too.
        step.G.load_state_dict(fresh(store, run).step.G.state_dict())
        step.losses.path_length_mean.zero_()


def test_draws_belong_to_samples() -> None:
    whole = KeyedDraws(seed=1, step=2, batch=8, z_dim=4, style_mixing=1.0)
    part = whole.part(slice(4, 8))
    assert torch.equal(part.latents("Gmain")[0], whole.latents("Gmain")[0][4:])
    assert torch.equal(part.mixing("Gmain", 6)[0], whole.mixing("Gmain", 6)[0][4:])
    assert part.mixing("Gmain", 6)[1] == whole.mixing("Gmain", 6)[1]
    for name in ("uniform", "normal"):
        of_part = getattr(part.augment("Dmain", "real"), name)("x", 2)
        assert torch.equal(of_part, getattr(whole.augment("Dmain", "real"), name)("x", 2)[4:])
    part.prepare_layer_noise("Gmain")
    second = torch.rand(2)
    whole.part(slice(0, 4)).prepare_layer_noise("Gmain")
    first = torch.rand(2)
    whole.prepare_layer_noise("Gmain")
    assert torch.equal(first, torch.rand(2))
    assert not torch.equal(first, second)


def test_what_cannot_be_divided_is_refused(store: Store, make_run: Callable[..., Run]) -> None:
    write_dataset(store, "many", images=24)
    for batch, size in ((8, 3), (24, 6), (8, -1), (8, 16)):
        with pytest.raises(InvalidArgument, match="micro_batch is") as caught:
            make_run("bad", batch=batch, micro_batch=size)
        assert caught.value.reason == "TRAINING_OPTION_INVALID"
    with pytest.raises(FailedPrecondition, match="1 micro-batches of 8, which 2 processes") as told:
        MicroBatches.of(8, 8, Ranks(0, 2))
    assert told.value.reason == "PROCESSES_UNSUITABLE"
    assert MicroBatches.of(8, 2, Ranks(1, 2)).rows == slice(4, 8)
    with pytest.raises(InvalidArgument, match="TAGLOOM_TRAINING_PROCESSES"):
        ProcessLauncher.from_environment({"TAGLOOM_TRAINING_PROCESSES": "two"})


def weights(store: Store, run_id: str) -> dict[str, Tensor]:
    entry = open_network(store, f"runs/{run_id}/snapshots/000000.064")
    loaded = entry.load(store, ["G_ema", "G", "D"])
    return {f"{role}.{key}": value for role in loaded for key, value in loaded[role].items()}


@pytest.mark.parametrize(
    "config", [{}, pytest.param(STYLEGAN3, marks=pytest.mark.long)], ids=["stylegan2", "stylegan3"]
)
def test_two_processes_under_torchrun_are_one(
    store: Store,
    make_run: Callable[..., Run],
    config: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Half of a run by two ranks, told to stop through the one that does not write; the rest by
    one: the same run, to rounding, as one process's."""
    for run_id in ("whole", "shared"):
        make_run(run_id, **SHARED, **config, seed=1)
    train(store, "whole", silent)

    monkeypatch.setenv("TAGLOOM_TORCH_THREADS", "1")
    process = ProcessLauncher(2).start(Assignment(store.url, "shared", lease_s=2.0))
    try:
        seen = wait_for_steps(store, process)
        workers = [pid for pid in descendants(process.pid) if is_worker(pid)]
        assert len(workers) == 2, process.last_words()
        os.kill(max(workers, key=rank_of), signal.SIGTERM)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert process.poll() is not None, "the ranks did not stop together"
    finally:
        process.close()
    run, progress = records.read_run(store, "shared"), records.read_progress(store, "shared")
    assert progress is not None
    assert run.state == "queued", process.last_words()
    assert seen <= progress.images_seen < 64
    newest = list_states(store, "shared")[-1] + "manifest.json"
    state = StateManifest.from_bytes(store.get(newest), newest)
    assert state.images_seen == progress.images_seen
    assert state.environment["processes"] == "2"

    with caplog.at_level("INFO", "services.trainer"):
        train(store, "shared", silent)
    assert "processes 2 then, 1 now" in caplog.text
    whole, shared = weights(store, "whole"), weights(store, "shared")
    for key, tensor in whole.items():
        scale = float(tensor.abs().max()) + 1e-6
        assert float((shared[key] - tensor).abs().max()) / scale < 1e-3, key
    pairs = zip(
        records.read_ticks(store, "whole"), records.read_ticks(store, "shared"), strict=True
    )
    for one, two in pairs:
        assert (one.kimg, one.augment_p) == (two.kimg, two.augment_p)
        assert two.d_loss == pytest.approx(one.d_loss, rel=1e-3)
        assert two.real_sign == pytest.approx(one.real_sign)


def wait_for_steps(store: Store, process: Any) -> int:
    """Until some steps are done; how many images were seen then."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        ticks = records.read_ticks(store, "shared")
        if ticks:
            return round(ticks[-1].kimg * 1000)
        time.sleep(0.02)
    pytest.fail(f"no step was done: {process.last_words()}")


def descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def is_worker(pid: int) -> bool:
    return b"services.trainer.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()


def rank_of(pid: int) -> int:
    match = re.search(rb"\0RANK=(\d+)", Path(f"/proc/{pid}/environ").read_bytes())
    assert match is not None
    return int(match.group(1))
