"""Each alarm is raised by a training that earns it, and stays silent without cause."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from prometheus_client import CollectorRegistry, generate_latest

from services.trainer import records
from services.trainer.alarms import judge, merge
from services.trainer.convert import run_message, tick_message
from services.trainer.dataset import TrainingImages
from services.trainer.loop import train
from services.trainer.metrics import TrainingMetrics
from services.trainer.observe import Observer, mean_distance
from services.trainer.runs import get_run
from services.trainer.schedule import StateSchedule
from services.trainer.state import StateManifest, list_states
from tagloom.artifacts.base import now
from tagloom.artifacts.dataset import Dataset
from tagloom.artifacts.run import Alarm, Run, Tick
from tagloom.errors import FailedPrecondition
from tagloom.networks.build import build_discriminator, build_generator
from tagloom.networks.catalog import open_network
from tagloom.progress import silent
from tagloom.store import Store
from tagloom.v1 import trainer_pb2 as pb


def raised(store: Store, run_id: str) -> dict[str, Alarm]:
    progress = records.read_progress(store, run_id)
    assert progress is not None
    return {alarm.kind: alarm for alarm in progress.alarms}


def check_shown(store: Store, run: Run, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """In the run, its history, its metrics and the log."""
    alarm = raised(store, run.id)[kind]
    message = run_message(get_run(store, f"runs/{run.id}"))
    (shown,) = [a for a in message.alarms if a.kind == pb.Alarm.Kind.Value(f"KIND_{kind.upper()}")]
    assert (shown.message, shown.active) == (alarm.message, alarm.active)
    assert alarm.message.endswith(".")
    ticks = records.read_ticks(store, run.id)
    at = [tick.kimg for tick in ticks if kind in tick.alarms]
    assert (at[0], at[-1]) == (alarm.first_kimg, alarm.last_kimg)
    assert shown.kind in [k for tick in ticks for k in tick_message(tick).alarms]
    registry = CollectorRegistry()
    progress = records.read_progress(store, run.id)
    assert progress is not None
    metrics = TrainingMetrics(registry)
    metrics.show(run, progress, ticks[-1])
    line = f'tagloom_training_alarm{{kind="{kind}",run="{run.id}"}} {float(alarm.active)}'
    assert line in generate_latest(registry).decode()
    metrics.end(run.id, "succeeded")
    assert "tagloom_training_alarm{" not in generate_latest(registry).decode()
    warnings = [entry for entry in caplog.records if entry.levelno == logging.WARNING]
    assert any(f"At {alarm.first_kimg:g} kimg:" in entry.getMessage() for entry in warnings)


def test_p_that_runs_away_at_its_limit(
    store: Store, make_run: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run("r", ada_target=-1.0, ada_kimg=0.02)
    train(store, "r", silent)
    check_shown(store, run, "runaway_p", caplog)
    check_shown(store, run, "discriminator_overfitting", caplog)
    assert "above 0.8" in raised(store, "r")["runaway_p"].message
    assert "p = 1" in raised(store, "r")["discriminator_overfitting"].message


def test_a_discriminator_that_learns_its_few_images_by_heart(
    store: Store,
    make_run: Callable[..., Run],
    make_dataset: Callable[..., Dataset],
    caplog: pytest.LogCaptureFixture,
) -> None:
    make_dataset(store, images=4, held_out=16)
    run = make_run(
        "r",
        augment="none",
        kimg=0.32,
        tick_kimg=0.032,
        snapshot_kimg=10.0,
        d_learning_rate=0.02,
        g_learning_rate=0.002,
        r1_gamma=1e-6,
        channel_base=512,
        channel_max=32,
        mbstd_group=1,
    )
    train(store, "r", silent)
    ratios = [tick.overfitting for tick in records.read_ticks(store, "r") if tick.overfitting]
    check_shown(store, run, "discriminator_overfitting", caplog)
    assert ratios[-1] > ratios[0]
    assert "held-out images" in raised(store, "r")["discriminator_overfitting"].message


def test_samples_that_become_alike(
    store: Store, make_run: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    # G alone: nothing but one direction of D to follow.
    run = make_run(
        "r",
        augment="none",
        kimg=0.12,
        tick_kimg=0.008,
        snapshot_kimg=10.0,
        d_learning_rate=0.0,
        g_learning_rate=0.01,
        path_length_weight=0.0,
        ema_kimg=0.004,
    )
    train(store, "r", silent)
    check_shown(store, run, "mode_collapse", caplog)
    assert "go back to a snapshot" in raised(store, "r")["mode_collapse"].message


def test_updates_that_are_not_finite_are_left_out_and_leave_nothing(
    store: Store,
    make_run: Callable[..., Run],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch, taken = TrainingImages.batch, 0

    def sometimes_broken(self: TrainingImages, *given: Any) -> torch.Tensor:
        nonlocal taken
        images = batch(self, *given)
        taken += len(images) == 4  # batches, not what the observer takes
        return images * float("nan") if taken in (3, 5, 6) else images

    monkeypatch.setattr(TrainingImages, "batch", sometimes_broken)
    run = make_run("r")
    train(store, "r", silent)
    ticks = records.read_ticks(store, "r")
    assert [tick.updates_left_out for tick in ticks] == [1, 2, 0, 0]
    check_shown(store, run, "not_finite", caplog)
    alarm = raised(store, "r")["not_finite"]
    assert not alarm.active
    assert "10 in a row end the run" in alarm.message
    assert run_message(get_run(store, "runs/r")).updates_left_out == 3
    name = "runs/r/snapshots/000000.064"
    for tensors in open_network(store, name).load(store, ["G_ema", "G", "D"]).values():
        assert all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())


def test_a_tick_without_a_good_update_has_no_mean_of_it(
    store: Store, make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, taken = TrainingImages.batch, 0

    def broken_for_a_tick(self: TrainingImages, *given: Any) -> torch.Tensor:
        nonlocal taken
        images = batch(self, *given)
        taken += len(images) == 4
        return images * float("nan") if 5 <= taken <= 8 else images

    monkeypatch.setattr(TrainingImages, "batch", broken_for_a_tick)
    make_run("r", path_length_weight=0.0, snapshot_kimg=10.0)
    said: list[str] = []
    train(store, "r", lambda phase, done, total, message="": said.append(message))
    ticks = records.read_ticks(store, "r")
    assert [tick.d_loss is None for tick in ticks] == [False, True, False, False]
    assert [tick.real_sign is None for tick in ticks] == [False, True, False, False]
    assert all(tick.g_loss is not None and tick.path_penalty is None for tick in ticks)
    assert ticks[1].r1_penalty == ticks[0].r1_penalty  # R1 comes every 16 steps
    assert any("D loss unknown" in message for message in said)
    shown = tick_message(ticks[1])
    assert not shown.HasField("d_loss")
    assert shown.HasField("g_loss")


def test_a_run_whose_d_breaks_ends_with_its_last_good_state(
    store: Store, make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, taken = TrainingImages.batch, 0

    def broken_from_the_fifth_on(self: TrainingImages, *given: Any) -> torch.Tensor:
        nonlocal taken
        images = batch(self, *given)
        taken += len(images) == 4
        return images * float("nan") if taken >= 5 else images

    make_run("r", bad_updates_limit=3)
    monkeypatch.setattr(TrainingImages, "batch", broken_from_the_fifth_on)
    with pytest.raises(FailedPrecondition, match=r"3 gradients in a row were not finite"):
        train(store, "r", silent, states=StateSchedule(seconds=1e-9))
    run = records.read_run(store, "r")
    assert run.state == "failed"
    newest = list_states(store, "r")[-1]
    state = StateManifest.from_bytes(store.get(f"{newest}manifest.json"), newest)
    assert 4 <= state.images_seen <= 16, "the fifth step is bad, and those after it"
    assert not any(state.bad_updates.values())


def tick(kimg: float, **changes: Any) -> Tick:
    values = dict.fromkeys(
        ("g_loss", "d_loss", "r1_penalty", "real_score", "fake_score", "real_sign"), 0.0
    )
    values |= dict.fromkeys(("augment_p", "g_gradient_norm", "d_gradient_norm"), 0.1)
    return Tick(kimg=kimg, time=now(), seconds_per_kimg=1.0, peak_memory=1, **{**values, **changes})


def test_a_healthy_history_raises_nothing(make_run: Callable[..., Run]) -> None:
    options = make_run("r").options
    history = [tick(i, diversity=1 - i / 20, overfitting=i / 20) for i in range(10)]
    assert judge(history, options) == {}
    assert judge(history[:1], options) == {}
    unknown = [tick(i, augment_p=1.0, real_sign=None) for i in range(2)]
    assert judge(unknown, options).keys() == {"runaway_p"}
    # Samples were never various, or training images are as alike: nothing has collapsed.
    poor = [tick(0, diversity=0.1), tick(1, diversity=0.09)]
    assert judge(poor, options) == {}


def test_an_alarm_is_one_from_its_first_tick_to_its_last() -> None:
    alarms = merge((), {"not_finite": "First."}, 1.0)
    alarms = merge(alarms, {"not_finite": "Second."}, 2.0)
    alarms = merge(alarms, {"runaway_p": "High."}, 3.0)
    assert [(a.kind, a.message, a.active, a.first_kimg, a.last_kimg) for a in alarms] == [
        ("not_finite", "Second.", False, 1.0, 2.0),
        ("runaway_p", "High.", True, 3.0, 3.0),
    ]
    # A run that continues from an earlier state has not seen the later alarm yet.
    assert [a.kind for a in merge(alarms, {}, 2.5)] == ["not_finite"]


def test_what_the_observer_measures() -> None:
    random = np.random.RandomState(0)
    images = TrainingImages(random.randint(0, 256, (16, 3, 16, 16), dtype=np.uint8))
    assert mean_distance(torch.zeros(4, 3, 16, 16)) == 0
    pair = torch.stack([torch.zeros(3, 16, 16), torch.full((3, 16, 16), 0.5)])
    assert mean_distance(pair) == pytest.approx(0.5)
    small = {"channel_base": 64, "channel_max": 8}
    G = build_generator("stylegan2", resolution=16, z_dim=8, w_dim=8, **small)
    D = build_discriminator(resolution=16, **small)
    look = Observer(images, images, z_dim=8, group=4).look(G, D)
    assert look.overfitting is None or look.overfitting == pytest.approx(0), "the same images"
    assert Observer(images, None, z_dim=8, group=4).look(G, D).overfitting is None
