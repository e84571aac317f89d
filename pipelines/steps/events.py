"""What steps tell whoever watches: JSON lines, appended to one file or to the pod's log.

`kfp.local` merges the output of all steps into its own log, so a step's progress and its errors
need a way beside it. The file is named by TAGLOOM_EVENTS. On a cluster there is none: the lines go
to the pod's log, where people read them and `tagloom run --kubeflow` follows them; progress is told
there now and then only, because a training of days must not fill a node's disk.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from tagloom import errors
from tagloom.artifacts.experiment import Outcome
from tagloom.errors import TagloomError

__all__ = [
    "VARIABLE",
    "Closed",
    "Event",
    "Failed",
    "Finished",
    "Progressed",
    "Started",
    "Tail",
    "as_error",
    "in_log",
    "tell",
]

VARIABLE = "TAGLOOM_EVENTS"
LOG_S = 30.0
"""in a pod's log: at most one line of progress in so many seconds, unless the phase changes"""
_LONGEST = 2000
"""characters of a message: a line is one write, and appends of one write never mix"""


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)

    step: str
    """collect, filter, train, evaluate, report, close"""
    label: str = ""
    """the cell of the grid; empty for steps outside of it"""


class Started(_Event):
    """A step began."""

    kind: Literal["started"] = "started"


class Progressed(_Event):
    """A step's operation told where it is."""

    kind: Literal["progressed"] = "progressed"
    operation: str
    phase: str
    done: int
    total: int
    eta_s: float | None = None
    message: str = ""


class Finished(_Event):
    """A step ended well."""

    kind: Literal["finished"] = "finished"
    seconds: float
    sentence: str
    """what came out of it"""
    reused: bool = False
    """it found its result instead of making it"""


class Failed(_Event):
    """A step ended with an error."""

    kind: Literal["failed"] = "failed"
    error: str
    """class of `tagloom.errors`"""
    reason: str
    message: str
    metadata: dict[str, str] = {}


class Closed(_Event):
    """The experiment is over: what there is now."""

    kind: Literal["closed"] = "closed"
    state: Literal["succeeded", "failed"]
    error: str = ""
    """why it failed, one sentence"""
    report: str = ""
    """where the page about it lies; empty without a store, or when there is nothing to show"""
    collection: str = ""
    dataset: str = ""
    outcomes: tuple[Outcome, ...] = ()


Event = Started | Progressed | Finished | Failed | Closed
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])
_lock = threading.Lock()
_logged: dict[tuple[str, str], tuple[str, float]] = {}
"""the phase and the time of the last line of progress in the log, by step and label"""


def tell(event: Event) -> None:
    """Appends an event to the file of TAGLOOM_EVENTS, else prints it to stderr."""
    data = event.model_dump(mode="json")
    if len(data.get("message", "")) > _LONGEST:
        data["message"] = data["message"][: _LONGEST - 1] + "…"
    line = json.dumps(data, separators=(",", ":")) + "\n"
    path = os.environ.get(VARIABLE)
    if path is None:
        if not (isinstance(event, Progressed) and _too_soon(event)):
            sys.stderr.write(line)
            sys.stderr.flush()
        return
    with _lock, open(path, "ab", buffering=0) as file:
        file.write(line.encode())


def _too_soon(event: Progressed) -> bool:
    with _lock:
        phase, at = _logged.get((event.step, event.label), ("", float("-inf")))
        if event.phase == phase and time.monotonic() - at < LOG_S:
            return True
        _logged[event.step, event.label] = (event.phase, time.monotonic())
        return False


def in_log(text: str) -> Iterator[Event]:
    """The events in a pod's log, among whatever else was printed there."""
    for line in text.splitlines():
        if line.startswith('{"step":'):
            try:
                yield _ADAPTER.validate_json(line)
            except ValidationError:
                continue  # cut off, or of a version that tells other things


def as_error(failed: Failed) -> TagloomError:
    """The error that ended a step, as it was raised there."""
    kind = getattr(errors, failed.error, TagloomError)
    error: TagloomError = kind(failed.message, reason=failed.reason, **failed.metadata)
    return error


class Tail:
    """Reads the events that were told since it last looked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new(self) -> list[Event]:
        """Complete events only: a line that is being written waits for the next look."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            lines = [line for line in file if line.endswith(b"\n")]
        self._offset += sum(map(len, lines))
        return [_ADAPTER.validate_json(line) for line in lines]
