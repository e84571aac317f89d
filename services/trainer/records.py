"""Documents that change while a run trains: the run itself, its progress and its history."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tagloom.artifacts import layout
from tagloom.artifacts.base import Manifest, now
from tagloom.artifacts.run import Progress, Run, Tick
from tagloom.store.fenced import FencedStore
from tagloom.store.interface import ObjectNotFound, Store

__all__ = [
    "ENDED",
    "clear_stop",
    "has_ended",
    "last_tick",
    "read_progress",
    "read_run",
    "read_ticks",
    "request_stop",
    "run_ids",
    "stop_requested",
    "update_run",
    "write_document",
    "write_ticks",
]


ENDED = ("succeeded", "stopped", "failed")
"""states that a run leaves only when it is resumed"""


def write_document(store: Store, key: str, document: Manifest) -> None:
    """Replaces the document; under a fence, only if no newer owner has written it."""
    if isinstance(store, FencedStore):
        values = json.loads(document.model_dump_json(by_alias=True))
        store.put_fenced_json(key, values)
    else:
        store.put(key, document.to_bytes())


def read_run(store: Store, run_id: str) -> Run:
    """Raises NotFound (RESOURCE_NOT_FOUND)."""
    return Run.load(store, layout.run_document(run_id), f"runs/{run_id}")


def has_ended(store: Store, run_id: str) -> bool:
    """Whether nobody is to train the run any more. Raises NotFound."""
    return read_run(store, run_id).state in ENDED


def update_run(store: Store, run: Run, **changes: Any) -> Run:
    """Writes the run with these fields changed, and its time of update; returns it."""
    changed = run.model_copy(update={**changes, "update_time": now()})
    write_document(store, layout.run_document(run.id), changed)
    return changed


def run_ids(store: Store) -> list[str]:
    """Ids of the runs, without listing everything that lies below each."""
    found: list[str] = []
    after = ""
    while objects := store.list("runs/", after=after, limit=1).objects:
        run_id = objects[0].key.split("/")[1]
        found.append(run_id)
        after = f"runs/{run_id}/\U0010ffff"
    return found


def read_progress(store: Store, run_id: str) -> Progress | None:
    """None before the run has written any."""
    key = layout.run_progress(run_id)
    try:
        return Progress.from_bytes(store.get(key), key)
    except ObjectNotFound:
        return None


def read_ticks(store: Store, run_id: str) -> list[Tick]:
    """The history so far, by kimg."""
    try:
        data = store.get(layout.run_history(run_id))
    except ObjectNotFound:
        return []
    return [Tick.model_validate_json(line) for line in data.splitlines() if line.strip()]


def last_tick(store: Store, run_id: str) -> Tick | None:
    """The end of the history so far; None before the first tick."""
    try:
        lines = store.get(layout.run_history(run_id)).splitlines()
    except ObjectNotFound:
        return None
    return Tick.model_validate_json(lines[-1]) if lines else None


def write_ticks(store: Store, run_id: str, ticks: Iterable[Tick]) -> None:
    """Replaces the history: an object cannot be appended to.

    10,000 ticks, the most there are (`ranges`), are 5 MB and take 40 ms.
    """
    lines = "".join(tick.model_dump_json() + "\n" for tick in ticks)
    store.put(layout.run_history(run_id), lines.encode())


def _stop_key(run_id: str) -> str:
    return f"runs/{run_id}/stop"


def request_stop(store: Store, run_id: str) -> None:
    """Asks whoever trains the run, wherever that is, to stop within a second or two."""
    store.put(_stop_key(run_id), b"")


def stop_requested(store: Store, run_id: str) -> bool:
    """Whether somebody asked."""
    return store.exists(_stop_key(run_id))


def clear_stop(store: Store, run_id: str) -> None:
    """Forgets the request; before a run is resumed."""
    store.delete(_stop_key(run_id))
