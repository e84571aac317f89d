"""Has a run trained by a worker, and watches it to its end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from services.trainer import records
from services.trainer.launch import Assignment, Launcher, Situation, TrainingProcess
from services.trainer.ownership import take
from tagloom.artifacts.run import Progress, Run
from tagloom.errors import Cancelled, Conflict, TagloomError, Unavailable
from tagloom.progress import Report
from tagloom.store.fenced import FencedStore
from tagloom.store.interface import Store
from tagloom.store.lease import LeaseHeld, LeaseLost

__all__ = ["Follower", "StopReason"]

StopReason = Literal["cancel", "hand back", "lost"]
"""Why a follower should stop: somebody cancelled; this server goes away and another goes on; or
another server owns the work already."""

_POLL_S = 0.2
_STOP_GRACE_S = 8.0
"""from the wish to stop to the end by force, at least; less than what a server's handlers get"""
_LOOK_S = 1.0
"""between two looks for a wish to stop a run that does not train yet"""
_CLUSTER_PATIENCE_S = 40.0
"""with a launcher that does not answer, before a run that was never trained has failed"""


@dataclass(slots=True, kw_only=True)
class Follower:
    """Sees to it that a launcher's worker trains a run, for one operation.

    The worker owns the run (`ownership`); this writes into its document only while no worker does,
    under the run's lease for that moment. So it may die, and another one can take its place while
    the worker trains on.
    """

    store: Store
    launcher: Launcher
    note: Report
    """told of progress; must not raise"""
    stop: Callable[[], StopReason | None]
    operation: str = ""
    """`operations/trainer.{id}`"""
    lease_s: float = 5.0
    on_progress: Callable[[Run, Progress], None] = lambda run, progress: None

    def run(self, run_id: str, prepare: Callable[[Store, Run], Run]) -> Run:
        """Trains the run to its end; returns it as it is then (succeeded or stopped).

        `prepare` may change the document, under the lease, before the worker starts; it is not
        called for a run that is this operation's already. Raises what made the run fail; Cancelled
        when `stop` said so (after the state was saved, unless the worker survives this server);
        LeaseLost; Conflict (RUN_ACTIVE) when another operation has taken the run over; Unavailable
        (TRAINING_PROCESS_DIED) when the worker dies again and again.
        """
        run = records.read_run(self.store, run_id)
        if not self.operation or run.operation != self.operation:
            with self._pen(run_id) as store:
                run = prepare(store, records.read_run(store, run_id))
        return self._train(run)

    def _train(self, run: Run) -> Run:
        crashes = 0
        while run.state not in records.ENDED:
            assignment = Assignment(self.store.url, run.id, self.operation, self.lease_s)
            process = self._adopt(assignment, run)
            if process is None:
                if records.stop_requested(self.store, run.id):
                    return self._write(
                        run, state="stopped", message="Stopped before it was started, as asked."
                    )
                self._raise_if_stopped()
                process = self.launcher.start(assignment)
            seen = self._images_seen(run.id)
            try:
                self._watch(process, run)
                error = process.error()
            finally:
                process.close()
            run = self._read_own(run)
            self._settle_stop(run)
            if error is not None and error.reason == "LEASE_LOST":
                raise _lost(run.id)
            if error is not None:
                self._fail(run, error)
            if run.state in records.ENDED:
                break
            crashes = crashes + 1 if self._images_seen(run.id) == seen else 0
            run = self._after_crash(run, crashes, process)
        if run.state == "failed":
            raise Unavailable(run.message, reason="TRAINING_FAILED", resource=f"runs/{run.id}")
        return run

    def _adopt(self, assignment: Assignment, run: Run) -> TrainingProcess | None:
        """The worker of a server that went before. A launcher that does not answer is waited for:
        what it launched may well be training."""
        began = time.monotonic()
        while True:
            try:
                return self.launcher.adopt(assignment)
            except Unavailable as error:
                patient = run.attempts > 0 or time.monotonic() - began < _CLUSTER_PATIENCE_S
                if not patient:
                    self._fail(run, error)
                self.note("cluster", 0, 0, error.message)
            self._raise_if_stopped()
            time.sleep(_LOOK_S)

    def _watch(self, process: TrainingProcess, run: Run) -> None:
        """Until the worker ends: pass on how it fares, and the wish to stop."""
        self.note("start", 0, 0, "Starting the training process.")
        asked: float | None = None
        shown: object = None
        looked = time.monotonic()
        while self._poll(process, run) is None:
            reason = self.stop()
            if reason == "lost":
                if not process.survives:
                    process.kill()
                raise _lost(run.id)
            if reason == "hand back" and process.survives:
                raise Cancelled(
                    "The training goes on while another server takes over.", reason="CANCELLED"
                )
            if reason is not None and asked is None:
                process.ask_to_stop()
                asked = time.monotonic()
            elif asked is not None and time.monotonic() - asked > self._stop_grace_s(run, reason):
                process.kill()  # what it did since its last durable state is done again
            situation = process.situation()
            if situation is not None:
                if asked is None:
                    shown = self._tell(process, run, situation, shown)
                if not situation.alive and time.monotonic() - looked > _LOOK_S:
                    looked = time.monotonic()
                    if records.stop_requested(self.store, run.id):
                        process.kill()  # no worker is there to see it
            else:
                shown = self._show_progress(run, shown)
            time.sleep(_POLL_S)

    def _stop_grace_s(self, run: Run, reason: StopReason | None) -> float:
        """Seconds from the wish to stop to the end by force.

        A worker saves after the step that it is in: whoever cancels can wait for a long one, a
        server that goes away can not.
        """
        progress = None
        if reason == "cancel":
            with contextlib.suppress(TagloomError):
                progress = records.read_progress(self.store, run.id)
        if progress is None or not progress.steps:
            return _STOP_GRACE_S
        return max(_STOP_GRACE_S, 3 * progress.seconds / progress.steps)

    def _poll(self, process: TrainingProcess, run: Run) -> int | None:
        try:
            return process.poll()
        except TagloomError as error:
            self._fail(run, error)

    def _tell(
        self, process: TrainingProcess, run: Run, situation: Situation, shown: object
    ) -> object:
        """Say why the worker does not train; returns what has been said by now."""
        if situation.error is not None:
            process.kill()
            self._fail(run, situation.error)
        if situation.message == shown:
            return shown
        self.note(situation.phase, 0, 0, situation.message)
        if situation.alive:
            return situation.message
        try:
            with self._pen(run.id, patience_s=0.0) as store:
                now = records.read_run(store, run.id)
                if now.state not in records.ENDED and now.operation == run.operation:
                    records.update_run(store, now, state="queued", message=situation.message)
        except TagloomError:
            return shown  # a worker holds it, until its death is certain, or a slow store: again
        return situation.message

    def _show_progress(self, run: Run, shown: object) -> object:
        try:
            progress = records.read_progress(self.store, run.id)
        except Unavailable:
            return shown
        if progress is None or progress.update_time == shown:
            return shown
        total = round(run.options.kimg * 1000)
        self.note(progress.phase, progress.images_seen, total, progress.message)
        self.on_progress(run, progress)
        return progress.update_time

    def _read_own(self, run: Run) -> Run:
        """The run as it is now. Raises Conflict when it is another operation's by now."""
        now = records.read_run(self.store, run.id)
        if now.operation != run.operation:
            raise Conflict(
                f"runs/{run.id} is trained for {now.operation} now; wait for that.",
                reason="RUN_ACTIVE",
                resource=f"runs/{run.id}",
            )
        return now

    def _settle_stop(self, run: Run) -> None:
        """After the worker ended on our wish: what that means for the run."""
        reason = self.stop()
        if reason is None or run.state in records.ENDED:
            return
        if reason == "cancel":
            with contextlib.suppress(LeaseHeld):
                self._write(run, state="stopped", message="Cancelled; can be resumed.")
        raise Cancelled("The training was asked to stop.", reason="CANCELLED")

    def _fail(self, run: Run, error: TagloomError) -> NoReturn:
        """The run has failed, unless its worker has said more about its end."""
        with contextlib.suppress(TagloomError):
            self._write(run, state="failed", message=error.message)
        raise error

    def _after_crash(self, run: Run, crashes: int, process: TrainingProcess) -> Run:
        if records.stop_requested(self.store, run.id):
            return self._write(run, state="stopped", message="Stopped, as asked.")
        message = f"The training process of runs/{run.id} {process.obituary()}"
        process.kill()  # what is left of it, in a cluster
        if crashes < self.launcher.starts or process.removed():
            self.note("restart", 0, 0, f"{message}; it is started again.")
            return run
        last = process.last_words()
        self._write(run, state="failed", message=f"{message}, {crashes} times.")
        raise Unavailable(
            f"{message}, {crashes} times in a row. Most often that is a lack of memory: try a "
            f"smaller batch. Its last words: {last[-500:] or 'none'}",
            reason="TRAINING_PROCESS_DIED",
            resource=f"runs/{run.id}",
        )

    def _raise_if_stopped(self) -> None:
        if self.stop() is not None:
            raise Cancelled("The training was asked to stop.", reason="CANCELLED")

    def _images_seen(self, run_id: str) -> int:
        progress = records.read_progress(self.store, run_id)
        return 0 if progress is None else progress.images_seen

    def _write(self, run: Run, **changes: Any) -> Run:
        """Change the document of a run that nobody trains; one that has ended stays as it is.

        Raises LeaseHeld when somebody trains it all the same.
        """
        with self._pen(run.id, patience_s=2 * self.lease_s) as store:
            now = records.read_run(store, run.id)
            if now.state in records.ENDED or now.operation != run.operation:
                return now
            return records.update_run(store, now, **changes)

    @contextlib.contextmanager
    def _pen(self, run_id: str, patience_s: float | None = None) -> Iterator[FencedStore]:
        """The store as the run's owner, for a moment in which nobody trains it.

        Waits for a worker to end, or its lease to lapse: so long, or with None until `stop` says
        so. Raises LeaseHeld, Cancelled.
        """
        began = time.monotonic()

        def go_on(held: LeaseHeld) -> None:
            if patience_s is not None:
                if time.monotonic() - began >= patience_s:
                    raise held
                return
            self._raise_if_stopped()
            self.note("waiting", 0, 0, f"Another process owns runs/{run_id}: {held.message}")

        lease = take(self.store, run_id, self.lease_s, go_on=go_on)
        try:
            yield FencedStore(self.store, lease.key, lease.fence)
        finally:
            with contextlib.suppress(TagloomError):
                lease.release()


def _lost(run_id: str) -> LeaseLost:
    return LeaseLost(
        f"runs/{run_id} is trained by another process now.", reason="LEASE_LOST", run=run_id
    )
