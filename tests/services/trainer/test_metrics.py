"""The gauges of a run: there while it is trained, true, and gone with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import torch
from prometheus_client import CollectorRegistry

from services.trainer import records
from services.trainer.loop import train
from services.trainer.memory import gpu_memory, peak_resident_memory
from services.trainer.metrics import TrainingMetrics
from services.trainer.selection import read_snapshots, score_rises
from tagloom.artifacts.base import now
from tagloom.artifacts.dataset import Dataset
from tagloom.artifacts.run import Progress, Run, Tick
from tagloom.progress import silent
from tagloom.store import Store


class Shown:
    """Metrics in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = TrainingMetrics(self.registry)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"tagloom_training_{name}", labels)

    def of(self, run: str) -> set[str]:
        return {
            sample.name
            for family in self.registry.collect()
            for sample in family.samples
            if sample.labels.get("run") == run
        }


@pytest.fixture
def shown() -> Shown:
    return Shown()


def progress(**values: Any) -> Progress:
    return Progress(
        **{"images_seen": 500, "steps": 5, "seconds": 9, "update_time": now(), **values}
    )


def tick(**values: Any) -> Tick:
    numbers = dict.fromkeys(Tick.model_fields, 1)
    return Tick(**{**numbers, "kimg": 0.5, "time": now(), "alarms": (), **values})


def test_a_run_is_seen_from_when_it_is_taken_on_until_it_ends(
    shown: Shown, make_run: Callable[..., Run]
) -> None:
    run, other = make_run("r"), make_run("other")
    shown.metrics.begin("r")
    assert shown.of("r") == {"tagloom_training_start_timestamp_seconds"}
    started = shown.value("start_timestamp_seconds", run="r")
    assert started is not None
    assert abs(started - time.time()) < 5
    snapshot_time = now() - timedelta(seconds=30)
    seen = progress(
        snapshot_score=0.25, score_rises=2, snapshot_time=snapshot_time, updates_left_out=3
    )
    shown.metrics.show(run, seen, tick(seconds_per_kimg=120.0))
    shown.metrics.show(other, seen, None)
    assert shown.value("run_info", run="r", config="stylegan2", dataset="datasets/d", start="") == 1
    assert shown.value("images_seen", run="r") == 500
    assert shown.value("seconds_per_kimg", run="r") == 120
    assert shown.value("snapshot_interval_images", run="r") == 32
    assert shown.value("last_snapshot_timestamp_seconds", run="r") == snapshot_time.timestamp()
    assert shown.value("snapshot_score", run="r") == 0.25
    assert shown.value("score_rises", run="r") == 2
    assert shown.value("updates_left_out", run="r") == 3
    of_other = shown.of("other")
    shown.metrics.end("r", "succeeded")
    assert shown.of("r") == set(), "a series outlived its run"
    assert shown.of("other") == of_other


def test_what_is_not_measured_is_not_shown(shown: Shown, make_run: Callable[..., Run]) -> None:
    """On a CPU there is no GPU memory, and a run that does not score its snapshots has no score."""
    nothing = dict.fromkeys(
        ("diversity", "overfitting", "gpu_peak_memory", "gpu_free_memory", "gpu_total_memory")
    )
    run = make_run("r")
    shown.metrics.show(run, progress(), tick(**nothing))
    for name in ("gpu_memory_total_bytes", "snapshot_score", "score_rises", "overfitting_ratio"):
        assert shown.value(name, run="r") is None
    on_gpu = tick(gpu_peak_memory=6, gpu_free_memory=30, gpu_total_memory=80)
    shown.metrics.show(run, progress(), on_gpu)
    assert shown.value("gpu_memory_peak_bytes", run="r") == 6
    assert shown.value("gpu_memory_free_bytes", run="r") == 30
    assert shown.value("gpu_memory_total_bytes", run="r") == 80


def test_what_an_earlier_attempt_left_is_not_taken_for_news(
    shown: Shown, make_run: Callable[..., Run]
) -> None:
    """Else a run that waits for a machine would look like one that has stalled for days."""
    run = make_run("r")
    left = progress(update_time=now() - timedelta(days=2))
    shown.metrics.begin("r")
    shown.metrics.show(run, left, tick())
    assert shown.of("r") == {"tagloom_training_start_timestamp_seconds"}
    # Its machine's clock is an hour behind: it lives, whatever the time on it.
    behind = progress(images_seen=501, update_time=now() - timedelta(hours=1))
    shown.metrics.show(run, behind, tick())
    assert shown.value("images_seen", run="r") == 501
    shown.metrics.end("r", "handed_back")
    shown.metrics.begin("r")
    shown.metrics.show(run, progress(), tick())
    assert shown.value("images_seen", run="r") == 500, "the memory of the first time is gone"


def test_ends_and_restarts_are_counted_from_a_zero_on(shown: Shown) -> None:
    for outcome in ("succeeded", "stopped", "failed", "handed_back", "lost"):
        assert shown.value("runs_ended_total", outcome=outcome) == 0
    assert shown.value("restarts_total") == 0
    shown.metrics.begin("r")
    for phase in ("start", "train", "restart", "start"):
        shown.metrics.note(phase)
    shown.metrics.end("r", "failed")
    assert shown.value("runs_started_total") == 1
    assert shown.value("restarts_total") == 1
    assert shown.value("runs_ended_total", outcome="failed") == 1


def test_a_training_writes_how_often_its_score_rose(
    store: Store, make_run: Callable[..., Run], make_dataset: Callable[..., Dataset]
) -> None:
    """Told as the snapshots come, so that it is right though most of them are removed again."""
    make_dataset(store, held_out=16)
    make_run("all", score_samples=16, snapshot_kimg=0.008)
    make_run("few", score_samples=16, snapshot_kimg=0.008, keep_snapshots=1)
    for run_id in ("all", "few"):
        train(store, run_id, silent)
    told = [records.read_progress(store, run_id) for run_id in ("all", "few")]
    expected = score_rises(read_snapshots(store, "all", until_kimg=1))
    assert [entry.score_rises for entry in told if entry] == [expected, expected]
    last = records.last_tick(store, "all")
    assert last == records.read_ticks(store, "all")[-1]
    assert last is not None
    assert last.gpu_total_memory is None
    assert 0 < last.peak_memory <= peak_resident_memory()


def test_memory_of_a_gpu_is_read_where_there_is_one() -> None:
    assert gpu_memory(torch.device("cpu")) is None
    if not torch.cuda.is_available():
        pytest.skip("no GPU here: the numbers of a real one are not checked")
    device = torch.device("cuda")
    torch.ones(2**24, device=device)
    seen = gpu_memory(device)
    assert seen is not None
    assert 2**26 <= seen.peak < seen.total
    assert 0 < seen.free < seen.total
    again = gpu_memory(device)
    assert again is not None
    assert again.peak < seen.peak, "the peak counts anew"
