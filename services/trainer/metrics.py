"""What Prometheus sees of a training: gauges labelled with the run while it lives."""

from __future__ import annotations

from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from tagloom.artifacts.run import AlarmKind, Progress, Run, Tick

__all__ = ["TrainingMetrics"]


class TrainingMetrics:
    """`tagloom_training_*`. A run's series appear with its first progress and end with it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"tagloom_training_{name}", text, ["run"], registry=registry)

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
            "real_sign": gauge("real_sign_ratio", "Mean sign of the real scores, last tick."),
            "augment_p": gauge("augment_probability_ratio", "Augmentation probability p."),
            "g_gradient_norm": gauge("g_gradient_norm", "Mean norm of the generator's gradient."),
            "d_gradient_norm": gauge("d_gradient_norm", "Mean norm of D's gradient."),
            "peak_memory": gauge("peak_memory_bytes", "Peak resident memory of the process."),
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
        self._snapshot_time = gauge(
            "last_snapshot_timestamp_seconds", "When the run last wrote a snapshot."
        )
        self._alarms = Gauge(
            "tagloom_training_alarm",
            "1 while the alarm is raised; kinds as in trainer.proto.",
            ["run", "kind"],
            registry=registry,
        )
        self._ended = Counter(
            "tagloom_training_runs_ended",
            "Trainings that ended here, by outcome: succeeded, stopped or failed.",
            ["outcome"],
            registry=registry,
        )

    def show(self, run: Run, progress: Progress, tick: Tick | None) -> None:
        """Sets the run's gauges."""
        self._images.labels(run.id).set(progress.images_seen)
        self._total.labels(run.id).set(round(run.options.kimg * 1000))
        self._progress_time.labels(run.id).set(progress.update_time.timestamp())
        self._left_out.labels(run.id).set(progress.updates_left_out)
        if progress.snapshot_score is not None:
            self._snapshot_score.labels(run.id).set(progress.snapshot_score)
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
        gauges = [self._images, self._total, self._progress_time, self._left_out]
        gauges += [self._snapshot_score, self._snapshot_time]
        for gauge in (*gauges, *self._ticks.values()):
            if (run_id,) in gauge._metrics:
                gauge.remove(run_id)
        for kind in get_args(AlarmKind):
            if (run_id, kind) in self._alarms._metrics:
                self._alarms.remove(run_id, kind)
