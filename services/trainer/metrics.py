"""What Prometheus sees of a training: gauges labelled with the run while it lives."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from tagloom.artifacts.base import now
from tagloom.artifacts.run import AlarmKind, Progress, Run, Tick

__all__ = ["TrainingMetrics"]

_STALE = timedelta(minutes=1)
_OUTCOMES = ("succeeded", "stopped", "failed", "handed_back", "lost")


class TrainingMetrics:
    """`tagloom_training_*`. A run's series appear when it is taken on, and end with it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._gauges: list[Gauge] = []

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            made = Gauge(f"tagloom_training_{name}", text, ["run", *labels], registry=registry)
            self._gauges.append(made)
            return made

        self._info = gauge(
            "run_info",
            "1 for a run that is trained, with what it is.",
            "config",
            "dataset",
            "start",
        )
        self._start_time = gauge(
            "start_timestamp_seconds", "When this server took the run on, to train it or go on."
        )
        self._images = gauge("images_seen", "Images shown to the discriminator so far.")
        self._total = gauge("images_wanted", "Images that the run is to be shown.")
        self._progress_time = gauge(
            "last_progress_timestamp_seconds", "When the run last wrote its progress."
        )
        self._ticks = {
            "kimg": gauge("tick_kimg", "Thousands of images at the last tick."),
            "seconds_per_kimg": gauge("seconds_per_kimg", "Seconds per thousand images."),
            "g_loss": gauge("g_loss", "Mean generator loss over the last tick."),
            "d_loss": gauge("d_loss", "Mean discriminator loss over the last tick."),
            "r1_penalty": gauge("r1_penalty", "Mean R1 penalty over the last tick, before gamma."),
            "real_score": gauge("real_score", "Mean score of real images over the last tick."),
            "fake_score": gauge("fake_score", "Mean score of generated images, last tick."),
            "path_penalty": gauge(
                "path_penalty", "Mean path length penalty over the last tick, before its weight."
            ),
            "real_sign": gauge("real_sign_ratio", "Mean sign of the real scores, last tick."),
            "fake_sign": gauge("fake_sign_ratio", "Mean sign of the fake scores, last tick."),
            "augment_p": gauge("augment_probability_ratio", "Augmentation probability p."),
            "g_gradient_norm": gauge("g_gradient_norm", "Mean norm of the generator's gradient."),
            "d_gradient_norm": gauge("d_gradient_norm", "Mean norm of D's gradient."),
            "peak_memory": gauge("peak_memory_bytes", "Peak resident memory of the process."),
            "gpu_peak_memory": gauge(
                "gpu_memory_peak_bytes", "Most that tensors took on the GPU within the last tick."
            ),
            "gpu_free_memory": gauge(
                "gpu_memory_free_bytes", "GPU memory that no process used at the last tick."
            ),
            "gpu_total_memory": gauge("gpu_memory_total_bytes", "Memory of the GPU."),
            "diversity": gauge(
                "sample_diversity_ratio", "Distance between samples over that of real images."
            ),
            "overfitting": gauge(
                "overfitting_ratio", "How far D tells held-out from training images, 0 to 1."
            ),
        }
        self._left_out = gauge(
            "updates_left_out", "Updates left out so far: their gradient was not finite."
        )
        self._snapshot_score = gauge(
            "snapshot_score", "Kernel distance of the last snapshot, where snapshots are scored."
        )
        self._score_rises = gauge(
            "score_rises", "Last snapshots, in a row, with a worse score than the one before."
        )
        self._snapshot_time = gauge(
            "last_snapshot_timestamp_seconds", "When the run last wrote a snapshot."
        )
        self._snapshot_interval = gauge(
            "snapshot_interval_images", "Images from one snapshot to the next."
        )
        self._alarms = gauge(
            "alarm", "1 while the alarm is raised; kinds as in trainer.proto.", "kind"
        )
        self._restarts = Counter(
            "tagloom_training_restarts",
            "Training processes that died and were started again.",
            registry=registry,
        )
        self._started = Counter(
            "tagloom_training_runs_started", "Trainings taken on here.", registry=registry
        )
        self._ended = Counter(
            "tagloom_training_runs_ended",
            "Trainings that ended here: succeeded, stopped, failed; handed back; lost to another.",
            ["outcome"],
            registry=registry,
        )
        for outcome in _OUTCOMES:  # a first failure is seen only against a 0 before it
            self._ended.labels(outcome)
        self._first: dict[str, datetime] = {}

    def begin(self, run_id: str) -> None:
        """The run is taken on; it may have to wait for a machine before it is trained."""
        self._started.inc()
        self._start_time.labels(run_id).set(time.time())

    def note(self, phase: str) -> None:
        """Whatever the run's follower reports; counts the restarts."""
        if phase == "restart":
            self._restarts.inc()

    def show(self, run: Run, progress: Progress, tick: Tick | None) -> None:
        """Sets the run's gauges, but not from what an earlier attempt has left behind."""
        if self._is_stale(run.id, progress.update_time):
            return
        self._info.labels(run.id, run.options.config, run.dataset, run.start).set(1)
        self._images.labels(run.id).set(progress.images_seen)
        self._total.labels(run.id).set(round(run.options.kimg * 1000))
        self._progress_time.labels(run.id).set(progress.update_time.timestamp())
        self._left_out.labels(run.id).set(progress.updates_left_out)
        self._snapshot_interval.labels(run.id).set(round(run.options.snapshot_kimg * 1000))
        if progress.snapshot_score is not None:
            self._snapshot_score.labels(run.id).set(progress.snapshot_score)
            self._score_rises.labels(run.id).set(progress.score_rises)
        if progress.snapshot_time is not None:
            self._snapshot_time.labels(run.id).set(progress.snapshot_time.timestamp())
        raised = {alarm.kind for alarm in progress.alarms if alarm.active}
        for kind in get_args(AlarmKind):
            self._alarms.labels(run.id, kind).set(kind in raised)
        if tick is not None:
            for name, gauge in self._ticks.items():
                value = getattr(tick, name)
                if value is not None:  # not measured at this tick: the last one stays
                    gauge.labels(run.id).set(value)

    def end(self, run_id: str, outcome: str) -> None:
        """Counts the end and forgets the run's gauges."""
        self._ended.labels(outcome).inc()
        self._first.pop(run_id, None)
        for gauge in self._gauges:
            gauge.remove_by_labels({"run": run_id})

    def _is_stale(self, run_id: str, written: datetime) -> bool:
        """Whether a progress was there, and old, when the run was taken on.

        The training may run on a machine whose clock is a little off, so a progress that changes
        counts as new whatever its time is.
        """
        first = self._first.setdefault(run_id, written)
        return written == first and now() - written > _STALE
