"""Runs end where they should, continue where they were, and to the same bits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from services.trainer import records
from services.trainer.attend import Interrupted
from services.trainer.loop import train
from services.trainer.runs import list_snapshots
from services.trainer.schedule import StateSchedule
from services.trainer.state import list_states
from tagloom.artifacts import layout
from tagloom.artifacts.run import Run
from tagloom.errors import Cancelled, DataLoss, FailedPrecondition
from tagloom.networks.catalog import open_network
from tagloom.progress import silent
from tagloom.store import Store


def weights(store: Store, run_id: str, snapshot: str) -> dict[str, dict[str, Tensor]]:
    name = f"runs/{run_id}/snapshots/{snapshot}"
    return open_network(store, name).load(store, ["G_ema", "G", "D"])


def equal(a: dict[str, dict[str, Tensor]], b: dict[str, dict[str, Tensor]]) -> bool:
    return all(torch.equal(tensor, b[name][key]) for name in a for key, tensor in a[name].items())


def interrupted_at(store: Store, run_id: str, step: int) -> None:
    """Trains the run until it has made `step` steps in all, then interrupts it."""
    steps = 0
    progress = records.read_progress(store, run_id)
    already = progress.steps if progress else 0

    def count(phase: str, done: int, total: int, message: str = "") -> None:
        nonlocal steps
        steps += phase == "train"

    with pytest.raises(Interrupted):
        train(store, run_id, count, stop=lambda: steps >= step - already)


def test_a_run_from_its_start_to_its_end(store: Store, make_run: Callable[..., Run]) -> None:
    make_run("r")
    seen: list[tuple[str, int, int]] = []
    train(store, "r", lambda phase, done, total, message="": seen.append((phase, done, total)))

    run = records.read_run(store, "r")
    assert (run.state, run.attempts) == ("succeeded", 1)
    progress = records.read_progress(store, "r")
    assert progress is not None
    assert progress.images_seen == progress.steps * run.options.batch == 64
    assert progress.g_parameter_change > 0
    assert progress.d_parameter_change > 0
    assert progress.seconds > 0
    assert seen[-1] == ("train", 64, 64)
    assert [done for phase, done, _ in seen if phase == "train"] == list(range(4, 65, 4))

    snapshots, token = list_snapshots(store, "runs/r", 100, "")
    assert [snapshot.id for snapshot in snapshots] == ["000000.000", "000000.032", "000000.064"]
    assert token == ""
    ticks = records.read_ticks(store, "r")
    assert [tick.kimg for tick in ticks] == [0.016, 0.032, 0.048, 0.064]
    assert all(tick.seconds_per_kimg > 0 and tick.g_gradient_norm > 0 for tick in ticks)
    assert ticks[0].r1_penalty > 0
    samples = store.get(layout.snapshot_samples("r", "000000.064"))
    assert samples.startswith(b"\x89PNG")

    documents = {info.key: info.etag for info in store.iterate("runs/r/")}
    train(store, "r", silent)  # nothing left to do
    assert documents == {info.key: info.etag for info in store.iterate("runs/r/")}


@pytest.mark.parametrize("config", ["stylegan2", "stylegan3-t"])
def test_an_interrupted_run_ends_at_the_same_bits(
    store: Store, make_run: Callable[..., Run], config: str
) -> None:
    options: dict[str, Any] = {"config": config, "mirror": True, "ada_target": -1.0}
    if config == "stylegan3-t":
        options |= {"kimg": 0.032, "snapshot_kimg": 0.016}
    make_run("whole", **options)
    train(store, "whole", silent)

    make_run("pieces", **options)
    interrupted_at(store, "pieces", 1)
    interrupted_at(store, "pieces", 6)
    assert records.read_run(store, "pieces").state == "queued"
    train(store, "pieces", silent)

    last = layout.snapshot_id(options.get("kimg", 0.064))
    whole = weights(store, "whole", last)
    assert equal(whole, weights(store, "pieces", last))
    assert not equal(whole, weights(store, "whole", "000000.000")), "the comparison is void"
    timeless = [
        [
            tick.model_dump(exclude={"time", "seconds_per_kimg", "peak_memory"})
            for tick in records.read_ticks(store, run_id)
        ]
        for run_id in ("whole", "pieces")
    ]
    assert timeless[0] == timeless[1]
    assert timeless[0][-1]["augment_p"] > 0, "ADA had nothing to restore"
    assert records.read_run(store, "pieces").attempts == 3


def test_stopped_through_the_store_and_continued_for_longer(
    store: Store, make_run: Callable[..., Run]
) -> None:
    make_run("r", kimg=40)

    def ask(phase: str, done: int, total: int, message: str = "") -> None:
        if done == 8:
            records.request_stop(store, "r")

    train(store, "r", ask)
    run = records.read_run(store, "r")
    assert run.state == "stopped"
    progress = records.read_progress(store, "r")
    assert progress is not None
    assert 8 <= progress.images_seen < 40_000
    stopped_at = layout.snapshot_id(progress.images_seen / 1000)
    assert stopped_at in [s.id for s in list_snapshots(store, "runs/r", 100, "")[0]]

    records.clear_stop(store, "r")
    kimg = (progress.images_seen + 8) / 1000
    options = run.options.model_copy(update={"kimg": kimg})
    records.update_run(store, run, options=options)
    train(store, "r", silent)
    final = records.read_progress(store, "r")
    assert final is not None
    assert final.steps == progress.steps + 2


def test_a_stop_is_heard_however_often_the_run_is_saved(
    store: Store, make_run: Callable[..., Run]
) -> None:
    make_run("r", kimg=40)
    began = time.monotonic()

    def ask(phase: str, done: int, total: int, message: str = "") -> None:
        if done == 8:
            records.request_stop(store, "r")
        if time.monotonic() - began > 30:
            raise Cancelled("Nobody has heard the wish.", reason="CANCELLED")

    train(store, "r", ask, states=StateSchedule(images=4))
    assert records.read_run(store, "r").state == "stopped"


def test_a_report_that_cancels_leaves_a_run_that_can_go_on(
    store: Store, make_run: Callable[..., Run]
) -> None:
    make_run("r")

    def cancel(phase: str, done: int, total: int, message: str = "") -> None:
        if done == 12:
            raise Cancelled("Enough.", reason="CANCELLED")

    with pytest.raises(Cancelled):
        train(store, "r", cancel)
    run = records.read_run(store, "r")
    assert (run.state, run.message) == ("stopped", "Enough.")
    assert list_states(store, "r")[-1].startswith("runs/r/state/000000000012.")
    train(store, "r", silent)
    assert records.read_run(store, "r").state == "succeeded"


def test_learning_rate_0_leaves_the_parameters_alone(
    store: Store, make_run: Callable[..., Run]
) -> None:
    make_run("r", g_learning_rate=0.0, d_learning_rate=0.0)
    train(store, "r", silent)
    progress = records.read_progress(store, "r")
    assert progress is not None
    assert progress.g_parameter_change == progress.d_parameter_change == 0
    first, last = weights(store, "r", "000000.000"), weights(store, "r", "000000.064")
    assert all(torch.equal(first["D"][key], value) for key, value in last["D"].items())
    moved = {key for key, value in last["G"].items() if not torch.equal(first["G"][key], value)}
    assert moved == {"mapping.w_avg"}, "only the running mean of w moves"


def test_transfer_begins_at_the_start_network(store: Store, make_run: Callable[..., Run]) -> None:
    make_run("source")
    train(store, "source", silent)
    make_run("target", start="runs/source/snapshots/000000.064", kimg=0.004)
    train(store, "target", silent)
    source, target = (
        weights(store, "source", "000000.064"),
        weights(store, "target", "000000.000"),
    )
    for role in ("G", "G_ema", "D"):  # each continues its own, as in the official programs
        assert all(torch.equal(target[role][key], value) for key, value in source[role].items())
    assert not equal({"": source["G"]}, {"": source["G_ema"]}), "the comparison is void"
    moved = weights(store, "target", "000000.004")
    assert not equal(target, moved)


def test_fixed_and_no_augmentation(store: Store, make_run: Callable[..., Run]) -> None:
    make_run("fixed", augment="fixed", augment_p=0.3, kimg=0.016)
    make_run("none", augment="none", kimg=0.016)
    for run_id, p in (("fixed", 0.3), ("none", 0.0)):
        train(store, run_id, silent)
        assert [tick.augment_p for tick in records.read_ticks(store, run_id)] == [pytest.approx(p)]


def test_states_are_few_and_a_damaged_one_is_passed_over(
    store: Store, make_run: Callable[..., Run]
) -> None:
    make_run("whole")
    train(store, "whole", silent)
    make_run("r", keep_states=3)
    for step in (2, 4, 6, 8):
        interrupted_at(store, "r", step)
    states = list_states(store, "r")
    assert len(states) == 3
    assert len(list(store.iterate("runs/r/state/"))) == 2 * 3

    key = f"{states[-1]}tensors.safetensors"
    data = bytearray(store.get(key))
    data[-1] ^= 1
    store.put(key, bytes(data))
    said: list[str] = []
    train(store, "r", lambda phase, done, total, message="": said.append(message))
    assert any("could not be used" in line and "damaged" in line for line in said)
    last = "000000.064"
    assert equal(weights(store, "whole", last), weights(store, "r", last))


def test_when_no_state_is_whole_nothing_is_trained_over_it(
    store: Store, make_run: Callable[..., Run]
) -> None:
    make_run("r")
    interrupted_at(store, "r", 2)
    for prefix in list_states(store, "r"):
        store.put(f"{prefix}tensors.safetensors", b"")
    with pytest.raises(DataLoss, match="No state of runs/r can be continued"):
        train(store, "r", silent)
    run = records.read_run(store, "r")
    assert run.state == "failed"
    assert "from its last snapshot" in run.message


def test_another_machine_is_told(
    store: Store, make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run("r")
    interrupted_at(store, "r", 2)
    monkeypatch.setattr("services.trainer.state.np.__version__", "0.1")
    said: list[str] = []
    train(store, "r", lambda phase, done, total, message="": said.append(message))
    assert any("not equal to the bit: numpy" in line for line in said)


def test_a_dataset_that_changed_is_refused(store: Store, make_run: Callable[..., Run]) -> None:
    run = make_run("r")
    records.update_run(store, run, dataset_sha256="0" * 64)
    with pytest.raises(FailedPrecondition, match="datasets/d has changed"):
        train(store, "r", silent)
    assert records.read_run(store, "r").state == "failed"


def test_weights_that_are_not_finite_stop_the_run(
    store: Store, make_run: Callable[..., Run]
) -> None:
    make_run("r", g_learning_rate=1e30)
    with pytest.raises(FailedPrecondition, match="diverged"):
        train(store, "r", silent)
    run = records.read_run(store, "r")
    assert run.state == "failed"
    assert "larger r1_gamma or smaller learning rates" in run.message
