"""A training's durable states, written beside it: the training waits for a copy in memory only."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from safetensors import SafetensorError
from safetensors.torch import save_file

from services.trainer.freeze import Freezer, FrozenState
from services.trainer.schedule import StateClock, StateSchedule
from services.trainer.session import Session
from services.trainer.state import whole_states
from tagloom.errors import ResourceExhausted
from tagloom.files import not_written
from tagloom.store.fenced import FencedStore
from tagloom.store.interface import Store

__all__ = ["DurableStates", "write_state"]

_LOG = logging.getLogger(__name__)


class DurableStates:
    """Keeps a session's newest durable state as young as the schedule wants it.

    A state is copied between two steps; a thread writes the copy, hashes it and hands it to the
    store (all of which let go of Python's lock) while the training goes on. One is written at a
    time: where one takes longer than the schedule's interval, the next begins when it is durable.
    What writing raises is raised here, at the next call at the latest. To be used as a context,
    whose end waits for the state that is being written.
    """

    def __init__(self, store: Store, session: Session, schedule: StateSchedule) -> None:
        self._store, self._session = store, session
        self._freezer = Freezer(session)
        self._clock = StateClock(schedule, session.step.images_seen)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="run-state")
        self._writing: Future[float] | None = None

    @property
    def memory(self) -> int:
        """Bytes of host memory that the copy takes; 0 before the first state."""
        return self._freezer.size

    def keep_up(self) -> None:
        """To be called after every step: begins a state if one is due.

        None is begun amid updates that are not finite: the last good state stays the newest until
        every phase succeeds again. Raises what writing the last one raised.
        """
        due = self._clock.is_due(self._session.step.images_seen)
        if self._writing is not None:
            if not self._writing.done():
                return
            self._settle()
        if due and not any(self._session.step.left_out.in_a_row.values()):
            self._begin()

    def begin(self) -> None:
        """Begins a state as of now: something long comes that is no training.

        Waits for the one before; as `keep_up` in all else.
        """
        self._settle()
        if not any(self._session.step.left_out.in_a_row.values()):
            self._begin()

    def save(self) -> None:
        """Returns when the state as of now is durable.

        Raises ResourceExhausted (DISK_FULL, STATE_NOT_WRITTEN) without room for a copy in TMPDIR,
        and what the store raises.
        """
        self._settle()
        self._begin()
        self._settle()

    def _begin(self) -> None:
        started = time.monotonic()
        frozen = self._freezer.freeze()
        self._clock.begun(self._session.step.images_seen)

        def write() -> float:
            keep = self._session.run.options.keep_states
            write_state(self._store, self._session.state_prefix, frozen, keep=keep)
            return time.monotonic() - started

        self._writing = self._thread.submit(write)

    def _settle(self) -> None:
        """Waits until nothing is being written; raises what that raised, once."""
        writing, self._writing = self._writing, None
        if writing is not None:
            self._clock.durable(writing.result())

    def __enter__(self) -> DurableStates:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._settle()
        except Exception as failed:
            if error is None:
                raise
            if failed is not error:  # the training's own error is the one that counts
                _LOG.warning("The last state could not be written: %s", failed)
        finally:
            self._thread.shutdown()


def write_state(store: Store, below: str, frozen: FrozenState, *, keep: int) -> None:
    """Writes the state to a folder below `below`, and removes all but the newest `keep` there.

    Nothing happens if it is there already. Raises ResourceExhausted (DISK_FULL, STATE_NOT_WRITTEN)
    without room for a copy in TMPDIR, and what the store raises.
    """
    # The fence keeps two owners from writing the same name.
    fence = store.fence if isinstance(store, FencedStore) else 0
    prefix = f"{below}{frozen.manifest.images_seen:012d}.{fence:06d}/"
    if store.exists(f"{prefix}manifest.json"):
        return
    with tempfile.TemporaryDirectory(prefix="tagloom-state-") as folder:
        path = Path(folder, "tensors.safetensors")
        frozen.ready()
        try:
            save_file(frozen.tensors, path)
        except OSError as error:
            raise not_written(path, error) from error
        except SafetensorError as error:  # of the disk too, as a text without a number
            raise ResourceExhausted(
                f"The state of {frozen.manifest.run} could not be written to {folder} ({error}); "
                "make room there or set TMPDIR to another folder, then resume the run.",
                reason="STATE_NOT_WRITTEN",
                path=folder,
            ) from error
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        store.put_file(f"{prefix}tensors.safetensors", path)
    manifest = frozen.manifest.model_copy(update={"tensors_sha256": digest})
    store.put(f"{prefix}manifest.json", manifest.to_bytes())
    _remove_old(store, below, keep)


def _remove_old(store: Store, prefix: str, keep: int) -> None:
    oldest = whole_states(store, prefix)[-keep:][0]
    for info in list(store.iterate(prefix)):
        # Leftovers of a state that was never finished go with the older ones.
        if info.key < oldest:
            store.delete(info.key)
