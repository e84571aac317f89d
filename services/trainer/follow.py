"""Has a run trained by a process, and watches it to its end."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from services.trainer import records
from services.trainer.launch import Assignment, Launcher, TrainingProcess
from tagloom.artifacts import layout
from tagloom.artifacts.run import Progress, Run
from tagloom.errors import Cancelled, TagloomError, Unavailable
from tagloom.progress import Report
from tagloom.store.fenced import FencedStore
from tagloom.store.interface import Store
from tagloom.store.lease import Lease, LeaseHeld, LeaseLost, acquire

__all__ = ["Follower", "StopReason"]

StopReason = Literal["cancel", "hand back", "lost"]
"""Why a follower should stop: somebody cancelled; this server goes away and another goes on; or
another server owns the work already."""

_POLL_S = 0.2
_STOP_GRACE_S = 8.0
"""from the wish to stop to the end by force; less than what a server's handlers get"""
_CRASHES_ALLOWED = 3
"""in a row, without a single image in between"""


@dataclass(slots=True, kw_only=True)
class Follower:
    """Owns a run through its lease while a launcher's process trains it.

    The lease is the run's own: whichever server, operation or command wants to train the run, only
    one can at a time, and the process of a former owner cannot write any more.
    """

    store: Store
    launcher: Launcher
    note: Report
    """told of progress; must not raise"""
    stop: Callable[[], StopReason | None]
    lease_s: float = 5.0
    on_progress: Callable[[Run, Progress], None] = lambda run, progress: None

    def run(self, run_id: str, prepare: Callable[[Store, Run], Run]) -> Run:
        """Trains the run to its end; returns it as it is then (succeeded or stopped).

        `prepare` may change the document, under the lease, before the process starts.
        Raises what made the run fail; Cancelled when `stop` said so (after the state was saved);
        LeaseLost; Unavailable (TRAINING_PROCESS_DIED) when the process dies again and again.
        """
        lease = self._acquire(run_id)
        try:
            fenced = FencedStore(self.store, lease.key, lease.fence)
            run = prepare(fenced, records.read_run(fenced, run_id))
            return self._train(fenced, run, lease)
        finally:
            with contextlib.suppress(TagloomError):
                lease.release()

    def _acquire(self, run_id: str) -> Lease:
        owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        while True:
            self._raise_if_stopped()
            try:
                return acquire(self.store, lease_key(run_id), owner, self.lease_s)
            except LeaseHeld as error:
                self.note("waiting", 0, 0, f"Another process owns runs/{run_id}: {error.message}")
            time.sleep(_POLL_S)

    def _raise_if_stopped(self) -> None:
        if self.stop() is not None:
            raise Cancelled("The training was asked to stop.", reason="CANCELLED")

    def _train(self, store: FencedStore, run: Run, lease: Lease) -> Run:
        crashes = 0
        while run.state not in ("succeeded", "stopped", "failed"):
            if records.stop_requested(store, run.id):
                return records.update_run(
                    store, run, state="stopped", message="Stopped before it was started, as asked."
                )
            self._raise_if_stopped()
            seen = self._images_seen(run.id)
            assignment = Assignment(store.url, run.id, lease.key, lease.fence)
            process = self.launcher.start(assignment)
            try:
                self._watch(process, run, lease)
                error = process.error()
            finally:
                process.close()
            run = records.read_run(store, run.id)
            self._settle_stop(store, run)
            if error is not None and error.reason == "LEASE_LOST":
                raise _lost(run.id)
            if error is not None:
                raise error
            if run.state in ("succeeded", "stopped", "failed"):
                break
            crashes = crashes + 1 if self._images_seen(run.id) == seen else 1
            self._after_crash(store, run, crashes, process)
        if run.state == "failed":
            raise Unavailable(run.message, reason="TRAINING_FAILED", resource=f"runs/{run.id}")
        return run

    def _watch(self, process: TrainingProcess, run: Run, lease: Lease) -> None:
        """Until the process ends: renew the lease, pass on progress, pass on the wish to stop."""
        self.note("start", 0, 0, "Starting the training process.")
        renewed = time.monotonic()
        asked: float | None = None
        shown = None
        while process.poll() is None:
            reason = self.stop()
            if reason == "lost":
                process.kill()
                raise _lost(run.id)
            if reason is not None and asked is None:
                process.ask_to_stop()
                asked = time.monotonic()
            elif asked is not None and time.monotonic() - asked > _STOP_GRACE_S:
                process.kill()  # what it did since its last durable state is done again
            if time.monotonic() - renewed > self.lease_s / 3:
                self._renew(process, run, lease)
                renewed = time.monotonic()
            progress = self._progress(run.id)
            if progress is not None and progress.update_time != shown:
                shown = progress.update_time
                self.note(
                    progress.phase,
                    progress.images_seen,
                    round(run.options.kimg * 1000),
                    progress.message,
                )
                self.on_progress(run, progress)
            time.sleep(_POLL_S)

    def _renew(self, process: TrainingProcess, run: Run, lease: Lease) -> None:
        try:
            lease.renew()
        except LeaseLost:
            process.kill()
            raise
        except TagloomError:
            # The store does not answer: as long as nobody else took it, the lease is ours.
            if lease.remaining_s <= 0:
                process.kill()
                raise _lost(run.id) from None

    def _settle_stop(self, store: FencedStore, run: Run) -> None:
        """After the process ended on our wish: what that means for the run."""
        reason = self.stop()
        if reason is None or run.state in ("succeeded", "stopped", "failed"):
            return
        if reason == "cancel":
            records.update_run(store, run, state="stopped", message="Cancelled; can be resumed.")
        raise Cancelled("The training was asked to stop.", reason="CANCELLED")

    def _after_crash(
        self, store: FencedStore, run: Run, crashes: int, process: TrainingProcess
    ) -> None:
        message = (
            f"The training process of runs/{run.id} ended without a word, with exit code "
            f"{process.poll()}"
        )
        if crashes < _CRASHES_ALLOWED:
            self.note("restart", 0, 0, f"{message}; it is started again.")
            return
        last = process.last_words()
        records.update_run(store, run, state="failed", message=f"{message}, {crashes} times.")
        raise Unavailable(
            f"{message}, {crashes} times in a row. Most often that is a lack of memory: try a "
            f"smaller batch. Its last words: {last[-500:] or 'none'}",
            reason="TRAINING_PROCESS_DIED",
            resource=f"runs/{run.id}",
        )

    def _progress(self, run_id: str) -> Progress | None:
        try:
            return records.read_progress(self.store, run_id)
        except Unavailable:
            return None

    def _images_seen(self, run_id: str) -> int:
        progress = records.read_progress(self.store, run_id)
        return 0 if progress is None else progress.images_seen


def lease_key(run_id: str) -> str:
    """Whoever holds this lease trains the run."""
    return f"{layout.run_document(run_id).removesuffix('run.json')}lease.json"


def _lost(run_id: str) -> LeaseLost:
    return LeaseLost(
        f"runs/{run_id} is trained by another process now.", reason="LEASE_LOST", run=run_id
    )
