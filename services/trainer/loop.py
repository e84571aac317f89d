"""Trains a run from wherever it is to its end."""

from __future__ import annotations

import logging
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.trainer import records
from services.trainer.alarms import judge, merge
from services.trainer.dataset import load_held_out, load_images
from services.trainer.observe import Observation, Observer
from services.trainer.session import Session
from services.trainer.snapshot import write_snapshot
from services.trainer.state import restore, save_state
from services.trainer.takeover import start_sentence, transfer_parts
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.dataset import Dataset
from tagloom.artifacts.run import AlarmKind, Progress, Run, Tick
from tagloom.errors import Cancelled, FailedPrecondition, InvalidArgument, TagloomError
from tagloom.progress import Report
from tagloom.store.fenced import FencedStore
from tagloom.store.interface import Store
from tagloom.store.lease import LeaseLost

__all__ = ["Interrupted", "StateSchedule", "train"]

_LOG = logging.getLogger(__name__)
_PROGRESS_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class StateSchedule:
    """When a durable state is due: after so many seconds or images, whichever is first."""

    seconds: float = 60.0
    images: int = 1000
    time_share: float = 0.03
    """but for at most this share of the time"""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> StateSchedule:
        """From TAGLOOM_STATE_SECONDS, _IMAGES and _TIME_SHARE, where they are set.

        Raises InvalidArgument (SETTING_INVALID) naming the one that is not a positive number.
        """
        values = {}
        for name, default in (("seconds", 60.0), ("images", 1000), ("time_share", 0.03)):
            variable = f"TAGLOOM_STATE_{name.upper()}"
            text = environment.get(variable, str(default))
            try:
                values[name] = float(text)
            except ValueError:
                values[name] = 0.0
            if not 0 < values[name] < float("inf"):
                raise InvalidArgument(
                    f"{variable} is {text!r}, but should be a number above 0.",
                    reason="SETTING_INVALID",
                    setting=variable,
                )
        return cls(values["seconds"], max(int(values["images"]), 1), values["time_share"])


class Interrupted(Cancelled):
    """The process is going away (SIGTERM): the run is saved and waits for the next one."""


def train(
    store: Store,
    run_id: str,
    report: Report,
    *,
    stop: Callable[[], bool] = lambda: False,
    states: StateSchedule | None = None,
) -> None:
    """Trains `runs/<run_id>`, whose document lies in the store, to its kimg.

    Continues from the last durable state if there is one; a run that has succeeded is left as it
    is. Give a `FencedStore` wherever another process could train the same run. `report` is called
    after every step with images seen and in total.

    Returns when the run has succeeded, or was stopped by `records.request_stop`: the run's document
    says which. Raises Cancelled if `report` did (the run is then saved and stopped), Interrupted if
    `stop` returned true (saved, queued again), and any TagloomError that made the run fail.
    """
    run = records.read_run(store, run_id)
    if run.state == "succeeded":
        return
    fence = store.fence if isinstance(store, FencedStore) else 0
    run = records.update_run(
        store, run, state="running", attempts=run.attempts + 1, fence=fence, message="Starting."
    )
    try:
        _Loop(store, run, report, stop, states or StateSchedule()).run_to_end()
    except LeaseLost:
        raise  # another process owns the run: nothing of it is ours to write
    except Interrupted as error:
        records.update_run(store, run, state="queued", message=error.message)
        raise
    except _StopRequested as error:
        records.update_run(store, run, state="stopped", message=error.message)
    except Cancelled as error:
        records.update_run(store, run, state="stopped", message=error.message)
        raise
    except TagloomError as error:
        records.update_run(store, run, state="failed", message=error.message)
        raise
    except Exception as error:
        records.update_run(
            store, run, state="failed", message=f"The training broke down: {error!r}."
        )
        raise
    else:
        message = f"Trained to {run.options.kimg:g} kimg."
        records.update_run(store, run, state="succeeded", message=message)


class _StopRequested(Exception):
    """Somebody asked for a stop through the store."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class _Loop:
    """One attempt at a run: what is due when."""

    def __init__(
        self,
        store: Store,
        run: Run,
        report: Report,
        stop: Callable[[], bool],
        states: StateSchedule,
    ) -> None:
        self.store, self.run, self.report, self.stop = store, run, report, stop
        self.states = states
        self.report("load", 0, 0, f"Reading {run.dataset}.")
        self.session, self.observer, note = _open_session(store, run)
        if self.session.transferred and not run.transfer:
            parts = transfer_parts(self.session.transferred)
            self.run = records.update_run(store, run, transfer=parts, message=note)
        _LOG.info("%s", note)
        kimg = self.session.kimg
        self.ticks = [tick for tick in records.read_ticks(store, run.id) if tick.kimg <= kimg]
        progress = records.read_progress(store, run.id)
        earlier = progress.alarms if progress else ()
        self.alarms = tuple(alarm for alarm in earlier if alarm.first_kimg <= kimg)
        self.message = note
        self.g_change = self.session.parameter_change("G")
        self.d_change = self.session.parameter_change("D")
        self._progress_time = self._progress_cost = 0.0
        self._state_time, self._state_cost = time.monotonic(), 0.0
        self._state_images = self.session.step.images_seen
        self._tick_seconds, self._tick_images = self.session.seconds, self._state_images
        self._tick_left_out = sum(tick.updates_left_out for tick in self.ticks)

    def run_to_end(self) -> None:
        session, options = self.session, self.run.options
        if session.step.images_seen == 0:
            write_snapshot(self.store, session)
        self._write_progress("train")
        try:
            while not session.done:
                self._look_for_stop()
                before = session.kimg
                started = time.monotonic()
                session.advance()
                session.seconds += time.monotonic() - started
                if session.done or _passes(before, session.kimg, options.tick_kimg):
                    self._tick()
                if session.done or _passes(before, session.kimg, options.snapshot_kimg):
                    snapshot = write_snapshot(self.store, session)
                    self.message = f"Snapshot at {float(snapshot):g} kimg."
                self._save_if_due()
                self.report("train", session.step.images_seen, session.total_images, self.message)
        except LeaseLost:
            raise
        except (Cancelled, _StopRequested):
            self._save(snapshot=True)
            raise
        self._save(snapshot=False)

    def _look_for_stop(self) -> None:
        if self.stop():
            raise Interrupted(
                f"Interrupted at {self.session.kimg:g} kimg; continues from there.",
                reason="TRAINING_INTERRUPTED",
            )
        # The store is asked, and told, about once a second, and for at most 1 % of the time.
        pause = max(_PROGRESS_INTERVAL_S, 100 * self._progress_cost)
        if time.monotonic() - self._progress_time < pause:
            return
        started = time.monotonic()
        if records.stop_requested(self.store, self.run.id):
            raise _StopRequested(f"Stopped at {self.session.kimg:g} kimg, as asked.")
        self._write_progress("train")
        self._progress_cost = time.monotonic() - started

    def _write_progress(self, phase: str) -> None:
        step = self.session.step
        records.write_document(
            self.store,
            layout.run_progress(self.run.id),
            Progress(
                images_seen=step.images_seen,
                steps=step.steps,
                seconds=round(self.session.seconds, 3),
                g_parameter_change=self.g_change,
                d_parameter_change=self.d_change,
                updates_left_out=step.updates_left_out,
                alarms=self.alarms,
                phase=phase,
                message=self.message,
                update_time=now(),
                fence=self.run.fence,
            ),
        )
        self._progress_time = time.monotonic()

    def _tick(self) -> None:
        session = self.session
        images = session.step.images_seen - self._tick_images
        seconds = session.seconds - self._tick_seconds
        self._tick_images, self._tick_seconds = session.step.images_seen, session.seconds
        means = session.step.statistics.take()
        if self.ticks:  # R1 comes every 16 steps, which can be longer than a tick
            means.setdefault("r1_penalty", self.ticks[-1].r1_penalty)
        observed = self._observe()
        tick = Tick(
            kimg=session.kimg,
            time=now(),
            seconds_per_kimg=seconds / images * 1000,
            augment_p=session.augment_p,
            peak_memory=_peak_memory(),
            diversity=observed.diversity if observed else None,
            overfitting=observed.overfitting if observed else None,
            updates_left_out=session.step.updates_left_out - self._tick_left_out,
            **{
                name: means.get(name, 0.0)
                for name in (
                    "g_loss",
                    "d_loss",
                    "r1_penalty",
                    "fake_score",
                    "real_score",
                    "real_sign",
                    "g_gradient_norm",
                    "d_gradient_norm",
                )
            },
        )
        self._tick_left_out = session.step.updates_left_out
        alarms = judge([*self.ticks, tick], self.run.options)
        tick = tick.model_copy(update={"alarms": tuple(alarms)})
        self._raise_alarms(alarms)
        self.ticks.append(tick)
        records.write_ticks(self.store, self.run.id, self.ticks)
        self.g_change = session.parameter_change("G")
        self.d_change = session.parameter_change("D")
        self.message = (
            f"G loss {tick.g_loss:.3f}, D loss {tick.d_loss:.3f}, p {tick.augment_p:.3f}, "
            f"{tick.seconds_per_kimg:.1f} s/kimg."
        )
        if alarms:
            self.message = " ".join([*alarms.values(), self.message])

    def _observe(self) -> Observation | None:
        """A look at the samples and at D, rarely enough to cost about a hundredth of the time."""
        options, session = self.run.options, self.session
        interval = max(min(0.5, options.kimg / 20), options.tick_kimg)
        before = self.ticks[-1].kimg if self.ticks else 0.0
        if not (session.done or _passes(before, session.kimg, interval)):
            return None
        return self.observer.look(session.step.G_ema, session.step.D)

    def _raise_alarms(self, judged: dict[AlarmKind, str]) -> None:
        active = {alarm.kind for alarm in self.alarms if alarm.active}
        self.alarms = merge(self.alarms, judged, self.session.kimg)
        for kind, sentence in judged.items():
            if kind not in active:
                _LOG.warning("At %g kimg: %s", self.session.kimg, sentence)

    def _save_if_due(self) -> None:
        if self.session.step.bad_updates:
            return  # the last good state stays the newest until an update succeeds
        elapsed = time.monotonic() - self._state_time
        images = self.session.step.images_seen - self._state_images
        if elapsed < self.states.seconds and images < self.states.images:
            return
        if elapsed * self.states.time_share < self._state_cost:
            return
        self._save(snapshot=False)

    def _save(self, *, snapshot: bool) -> None:
        started = time.monotonic()
        self.g_change = self.session.parameter_change("G")
        self.d_change = self.session.parameter_change("D")
        if snapshot:
            write_snapshot(self.store, self.session)
        save_state(self.store, self.session)
        self._write_progress("train")
        self._state_time = time.monotonic()
        self._state_cost = self._state_time - started
        self._state_images = self.session.step.images_seen


def _open_session(store: Store, run: Run) -> tuple[Session, Observer, str]:
    (dataset_id,) = layout.parse_name(run.dataset, "datasets/{}")
    dataset = Dataset.load(store, layout.dataset_manifest(dataset_id), run.dataset)
    if dataset.content_sha256 != run.dataset_sha256:
        raise FailedPrecondition(
            f"{run.dataset} has changed since runs/{run.id} was made; start a new run on it.",
            reason="DATASET_CHANGED",
            resource=run.dataset,
        )
    images = load_images(store, dataset)
    if len(images) < run.options.batch or images.resolution != run.resolution:
        raise FailedPrecondition(
            f"{run.dataset} has {len(images)} images of {images.resolution} px, but runs/{run.id} "
            f"wants at least {run.options.batch} of {run.resolution} px; start a new run on it.",
            reason="DATASET_UNSUITABLE",
            resource=run.dataset,
        )
    session = Session.create(store, run, images)
    note = restore(store, session)
    if note is None:
        note = start_sentence(run, len(images), session.transferred)
    observer = Observer(
        images,
        load_held_out(store, dataset),
        z_dim=int(run.generator["z_dim"]),
        group=min(run.options.mbstd_group, run.options.batch),
    )
    return session, observer, note


def _passes(before: float, after: float, interval: float) -> bool:
    """Whether a multiple of `interval` lies in (before, after], up to rounding."""
    return int(after / interval + 1e-9) > int(before / interval + 1e-9)


def _peak_memory() -> int:
    """Peak resident memory of this process in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
