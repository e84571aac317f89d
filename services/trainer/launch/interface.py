"""What every launcher does: start the worker (`services.trainer.worker`), watch it, end it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tagloom.errors import TagloomError

__all__ = ["Assignment", "Launcher", "TrainingProcess"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker needs to know; everything else is in the store."""

    store_url: str
    run_id: str
    lease_key: str
    fence: int


class TrainingProcess(Protocol):
    """A started worker. What it achieves is in the store; this is about its life."""

    def poll(self) -> int | None:
        """Its exit code, or None while it lives."""

    def ask_to_stop(self) -> None:
        """It saves the full state within a step, and exits."""

    def kill(self) -> None:
        """At once, and everything that it started."""

    def close(self) -> None:
        """Kill it if it lives, and let go of what was kept for it."""

    def error(self) -> TagloomError | None:
        """The deliberate error that it ended with, if it said so."""

    def last_words(self) -> str:
        """The end of its log, for people."""


class Launcher(Protocol):
    """Starts workers somewhere."""

    def start(self, assignment: Assignment) -> TrainingProcess:
        """Raises Unavailable (TRAINING_NOT_STARTED)."""
