"""What steps tell whoever watches on the same machine: JSON lines appended to one file.

`kfp.local` merges the output of all steps into its own log, so a step's progress and its errors
need a way beside it. The file is named by TAGLOOM_EVENTS; on a cluster there is none, and the
lines go to the pod's log.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

__all__ = ["VARIABLE", "Event", "Failed", "Finished", "Progressed", "Started", "Tail", "tell"]

VARIABLE = "TAGLOOM_EVENTS"
_LONGEST = 2000
"""characters of a message: a line is one write, and appends of one write never mix"""


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)

    step: str
    """collect, filter, train, evaluate, report"""
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


Event = Started | Progressed | Finished | Failed
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])
_lock = threading.Lock()


def tell(event: Event) -> None:
    """Appends an event to the file of TAGLOOM_EVENTS, else prints it to stderr."""
    data = event.model_dump(mode="json")
    if len(data.get("message", "")) > _LONGEST:
        data["message"] = data["message"][: _LONGEST - 1] + "…"
    line = json.dumps(data, separators=(",", ":")) + "\n"
    path = os.environ.get(VARIABLE)
    if path is None:
        sys.stderr.write(line)
        return
    with _lock, open(path, "ab", buffering=0) as file:
        file.write(line.encode())


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
