"""Trains a run from wherever it is to its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from services.trainer import records
from services.trainer.alarms import judge, merge
from services.trainer.attend import Interrupted, Wish, agree, attend, interrupted
from services.trainer.durable import DurableStates
from services.trainer.keeper import SnapshotKeeper
from services.trainer.memory import gpu_memory, peak_resident_memory
from services.trainer.observe import Observation
from services.trainer.opening import open_observer, open_scorer, open_session
from services.trainer.ranks import ALONE, PeerLost, Ranks
from services.trainer.schedule import StateSchedule
from services.trainer.snapshot import write_snapshot
from services.trainer.takeover import transfer_parts
from services.trainer.trials import choose_gamma, is_undecided
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.run import AlarmKind, Progress, Run, RunState, Tick
from tagloom.errors import Cancelled, FailedPrecondition, TagloomError
from tagloom.progress import Report
from tagloom.store.fenced import FencedStore
from tagloom.store.interface import Store
from tagloom.store.lease import LeaseLost

__all__ = ["Interrupted", "train"]

_LOG = logging.getLogger(__name__)
_PROGRESS_INTERVAL_S = 1.0
_DEAF_AT_MOST_S = 30.0


def train(
    store: Store,
    run_id: str,
    report: Report,
    *,
    stop: Callable[[], bool] = lambda: False,
    states: StateSchedule | None = None,
    ranks: Ranks = ALONE,
) -> None:
    """Trains `runs/<run_id>`, whose document lies in the store, to its kimg.

    Continues from the last durable state if there is one; a run that has succeeded is left as it
    is. Give a `FencedStore` wherever another process could train the same run. `report` is called
    after every step with images seen and in total.

    Returns when the run has succeeded, or was stopped by `records.request_stop`: the run's document
    says which. Raises Cancelled if `report` did (the run is then saved and stopped), Interrupted if
    `stop` returned true (saved, queued again), and any TagloomError that made the run fail.

    With several `ranks`, all call this, and all return or raise the same: if `stop` returned true
    on any of them, all leave at the same step. Only rank 0 writes, and calls `report`, which must
    not raise then. Raises PeerLost when another rank is gone; the run's document stays as it was.
    """
    run = records.read_run(store, run_id)
    if run.state == "succeeded":
        return
    if not ranks.writes:
        attend(store, run, ranks, stop)
        return
    fence = store.fence if isinstance(store, FencedStore) else 0
    run = records.update_run(
        store, run, state="running", attempts=run.attempts + 1, fence=fence, message="Starting."
    )
    try:
        if is_undecided(run):
            run = _choose_gamma(store, run, report, stop, ranks, states or StateSchedule())
        message = _Loop(store, run, report, stop, states or StateSchedule(), ranks).run_to_end()
    except LeaseLost:
        raise  # another process owns the run: nothing of it is ours to write
    except PeerLost:
        raise  # as if this process had died too: whoever started it starts all again
    except Interrupted as error:
        _settle(store, run_id, "queued", error.message)
        raise
    except _StopRequested as error:
        _settle(store, run_id, "stopped", error.message)
    except Cancelled as error:
        _settle(store, run_id, "stopped", error.message)
        raise
    except TagloomError as error:
        _settle(store, run_id, "failed", error.message)
        raise
    except Exception as error:
        _settle(store, run_id, "failed", f"The training broke down: {error!r}.")
        raise
    else:
        _settle(store, run_id, "succeeded", message)


def _settle(store: Store, run_id: str, state: RunState, message: str) -> None:
    """How the attempt ended; what it has written into the run's document meanwhile stays."""
    records.update_run(store, records.read_run(store, run_id), state=state, message=message)


def _choose_gamma(
    store: Store,
    run: Run,
    report: Report,
    stop: Callable[[], bool],
    ranks: Ranks,
    states: StateSchedule,
) -> Run:
    """The run with the r1_gamma that did best in its trials."""
    if ranks.size > 1:
        raise FailedPrecondition(
            f"runs/{run.id} chooses its r1_gamma by trials, which one process makes alone: start "
            "it with one process, and with more once the choice is made; or give r1_gamma.",
            reason="PROCESSES_UNSUITABLE",
            processes=ranks.size,
        )
    first, _ = open_session(store, run, ranks)
    scorer = open_scorer(store, first)
    assert scorer is not None  # gamma_auto implies score_samples
    told = 0.0

    def tell(sentence: str) -> None:
        nonlocal told
        report("gamma", 0, 0, sentence)
        if stop():
            raise Interrupted(f"Interrupted. {sentence}", reason="TRAINING_INTERRUPTED")
        if time.monotonic() - told < _PROGRESS_INTERVAL_S:
            return
        if records.stop_requested(store, run.id):
            raise _StopRequested(f"Stopped, as asked. {sentence}")
        progress = Progress(
            images_seen=0,
            steps=0,
            seconds=0,
            phase="gamma",
            message=sentence,
            update_time=now(),
            fence=run.fence,
        )
        records.write_document(store, layout.run_progress(run.id), progress)
        told = time.monotonic()

    run = choose_gamma(store, run, first, scorer, tell, states)
    _LOG.info("%s", run.message)
    return run


class _Exhausted(Exception):
    """Patience is at its end: the snapshots do not get better."""


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
        ranks: Ranks,
    ) -> None:
        self.store, self.run, self.report, self.stop = store, run, report, stop
        self.report("load", 0, 0, f"Reading {run.dataset}.")
        self.ranks = ranks
        self.session, note = open_session(store, run, ranks)
        self.observer = open_observer(store, self.session)
        self.snapshots = SnapshotKeeper(store, self.session, open_scorer(store, self.session))
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
        self.states = DurableStates(store, self.session, states)
        self._tick_seconds = self.session.seconds
        self._tick_images = self.session.step.images_seen
        self._tick_left_out = sum(tick.updates_left_out for tick in self.ticks)

    def run_to_end(self) -> str:
        """Returns how it ended, a sentence."""
        with self.states:
            return self._run_to_end()

    def _run_to_end(self) -> str:
        session, options = self.session, self.run.options
        if self._snapshot_is_missing():
            self.snapshots.take()
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
                    self.states.begin()  # scoring can take longer than a state may be old
                    self.message = self.snapshots.take()
                else:
                    self.states.keep_up()
                self.report("train", session.step.images_seen, session.total_images, self.message)
        except LeaseLost:
            raise
        except (Cancelled, _StopRequested):
            self._save(snapshot=True)
            raise
        except _Exhausted:
            self._save(snapshot=False)
            return (
                f"Stopped early at {session.kimg:g} of {options.kimg:g} kimg: {options.patience} "
                f"snapshots in a row were not better than {self.snapshots.best}."
            )
        self._save(snapshot=False)
        return f"Trained to {options.kimg:g} kimg."

    def _snapshot_is_missing(self) -> bool:
        """At the start; or the run was ended between a state and the snapshot that is due there."""
        session, options = self.session, self.run.options
        before = session.kimg - options.batch / 1000
        due = session.done or _passes(before, session.kimg, options.snapshot_kimg)
        if session.step.images_seen and not due:
            return False
        snapshot = layout.snapshot_id(session.kimg)
        return not self.store.exists(layout.snapshot_manifest(self.run.id, snapshot))

    def _look_for_stop(self) -> None:
        """All ranks leave at the same step, whichever of them was asked to."""
        asked = self._tell_and_ask()
        leave = asked or self.snapshots.exhausted
        own = Wish.INTERRUPT if self.stop() else Wish.STOP if leave else Wish.GO_ON
        wish = agree(self.ranks, own)
        if wish is Wish.INTERRUPT:
            raise interrupted(self.session)
        if wish is Wish.STOP and not asked:
            raise _Exhausted
        if wish is Wish.STOP:
            raise _StopRequested(f"Stopped at {self.session.kimg:g} kimg, as asked.")

    def _tell_and_ask(self) -> bool:
        """Writes the progress, and returns whether the store holds a wish to stop.

        That is done about once a second, and for at most 1 % of the time, but at the latest after
        half a minute: what took long once need not do so again.
        """
        pause = max(_PROGRESS_INTERVAL_S, min(100 * self._progress_cost, _DEAF_AT_MOST_S))
        if time.monotonic() - self._progress_time < pause:
            return False
        self._progress_time = started = time.monotonic()
        if records.stop_requested(self.store, self.run.id):
            return True
        self._write_progress("train")
        self._progress_cost = time.monotonic() - started
        return False

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
                updates_left_out=step.left_out.total,
                alarms=self.alarms,
                best_snapshot=self.snapshots.best,
                snapshot_score=self.snapshots.score,
                snapshot_time=self.snapshots.time,
                score_rises=self.snapshots.rises,
                phase=phase,
                message=self.message,
                update_time=now(),
                fence=self.run.fence,
            ),
        )

    def _tick(self) -> None:
        session = self.session
        images = session.step.images_seen - self._tick_images
        seconds = session.seconds - self._tick_seconds
        self._tick_images, self._tick_seconds = session.step.images_seen, session.seconds
        means = session.step.statistics.take()
        if self.ticks:  # R1 comes every 16 steps, which can be longer than a tick
            for name in ("r1_penalty", "path_penalty"):
                earlier = getattr(self.ticks[-1], name)
                if earlier is not None:
                    means.setdefault(name, earlier)
        observed = self._observe()
        gpu = gpu_memory(session.step.device)
        tick = Tick(
            kimg=session.kimg,
            time=now(),
            seconds_per_kimg=seconds / images * 1000,
            augment_p=session.augment_p,
            peak_memory=peak_resident_memory(),
            gpu_peak_memory=gpu.peak if gpu else None,
            gpu_free_memory=gpu.free if gpu else None,
            gpu_total_memory=gpu.total if gpu else None,
            diversity=observed.diversity if observed else None,
            overfitting=observed.overfitting if observed else None,
            updates_left_out=session.step.left_out.total - self._tick_left_out,
            **means,
        )
        self._tick_left_out = session.step.left_out.total
        alarms = judge([*self.ticks, tick], self.run.options)
        tick = tick.model_copy(update={"alarms": tuple(alarms)})
        self._raise_alarms(alarms)
        self.ticks.append(tick)
        records.write_ticks(self.store, self.run.id, self.ticks)
        self.g_change = session.parameter_change("G")
        self.d_change = session.parameter_change("D")
        self.message = (
            f"G loss {_shown(tick.g_loss)}, D loss {_shown(tick.d_loss)}, p {tick.augment_p:.3f}, "
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

    def _save(self, *, snapshot: bool) -> None:
        self.states.save()  # first: whoever asked may not wait for the pictures
        if snapshot:
            write_snapshot(self.store, self.session)
        self.g_change = self.session.parameter_change("G")
        self.d_change = self.session.parameter_change("D")
        self._write_progress("train")


def _passes(before: float, after: float, interval: float) -> bool:
    """Whether a multiple of `interval` lies in (before, after], up to rounding."""
    return int(after / interval + 1e-9) > int(before / interval + 1e-9)


def _shown(loss: float | None) -> str:
    return "unknown" if loss is None else f"{loss:.3f}"
