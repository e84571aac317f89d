"""The lines of JSON by which a worker tells its launcher what the store does not."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

import tagloom.errors
from tagloom.errors import TagloomError

__all__ = ["ErrorEvent", "Event", "LogEvent", "StartEvent", "parse_event"]

_MARK = "tagloom_event"


@dataclass(frozen=True, slots=True)
class StartEvent:
    """The worker is up."""

    pid: int
    threads: int

    def to_line(self) -> str:
        return json.dumps({_MARK: "start", **asdict(self)})


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """The worker ends with a deliberate error."""

    kind: str
    """name of the class in `tagloom.errors`"""
    message: str
    reason: str
    metadata: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, error: TagloomError) -> ErrorEvent:
        """The event for an error; a subclass is told as the class of `tagloom.errors` it is."""
        kind = next(c.__name__ for c in type(error).__mro__ if c.__module__ == "tagloom.errors")
        return cls(kind, error.message, error.reason, error.metadata)

    def to_error(self) -> TagloomError:
        """The error again."""
        kind = getattr(tagloom.errors, self.kind, TagloomError)
        if not (isinstance(kind, type) and issubclass(kind, TagloomError)):
            kind = TagloomError
        return kind(self.message, reason=self.reason, **self.metadata)

    def to_line(self) -> str:
        return json.dumps({_MARK: "error", **asdict(self)})


@dataclass(frozen=True, slots=True)
class LogEvent:
    """Something for the server's log."""

    level: int
    """as in `logging`"""
    message: str

    def to_line(self) -> str:
        return json.dumps({_MARK: "log", **asdict(self)})


Event = StartEvent | ErrorEvent | LogEvent


def parse_event(line: str) -> Event | None:
    """The event in a line of output; None if it is just a line."""
    if _MARK not in line:
        return None
    values = json.loads(line)
    if not isinstance(values, dict):
        return None
    kind = values.pop(_MARK, None)
    try:
        if kind == "start":
            return StartEvent(**values)
        if kind == "error":
            return ErrorEvent(**values)
        if kind == "log":
            return LogEvent(**values)
    except TypeError:
        return None
    return None
