"""What every launcher does: start the worker (`services.trainer.worker`), watch it, end it.

A worker owns its run itself, by the run's lease; nothing is trained twice, however many there are.
So a launcher has little to be exact about: only that a worker runs, and that it can tell how it
fares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tagloom.errors import TagloomError

__all__ = ["Assignment", "Launcher", "Situation", "TrainingProcess"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker needs to know, and for whom; everything else is in the store."""

    store_url: str
    run_id: str
    operation: str = ""
    """`operations/trainer.{id}` that the run is trained for"""
    lease_s: float = 5.0
    """how long the worker's signs of life last"""


@dataclass(frozen=True, slots=True)
class Situation:
    """Why a worker that was started does not train yet, or not any more."""

    phase: str
    """a word or two"""
    message: str
    """a sentence: what is the matter, and what to do"""
    error: TagloomError | None = None
    """set when waiting will not help"""
    alive: bool = False
    """whether a worker may be at work all the same"""


class TrainingProcess(Protocol):
    """A started worker. What it achieves is in the store; this is about its life."""

    @property
    def survives(self) -> bool:
        """Whether it trains on when this server ends, and the next one finds it."""

    def poll(self) -> int | None:
        """Its exit code, or None while it lives or is still to come.

        Raises the TagloomError because of which it can never come.
        """

    def situation(self) -> Situation | None:
        """What keeps it from training; None while nothing does."""

    def ask_to_stop(self) -> None:
        """It saves the full state within a step, and exits."""

    def kill(self) -> None:
        """It goes away for good, with everything that it started."""

    def close(self) -> None:
        """Let go of what was kept for it; one that does not survive ends with that."""

    def error(self) -> TagloomError | None:
        """The deliberate error that it ended with, if it said so."""

    def removed(self) -> bool:
        """Whether somebody took it away, rather than that it broke down."""

    def obituary(self) -> str:
        """How it ended, as the end of a sentence that begins with its name."""

    def last_words(self) -> str:
        """The end of its log, for people."""


class Launcher(Protocol):
    """Starts workers somewhere."""

    @property
    def at_once(self) -> int:
        """Runs that one server may have trained at a time."""

    @property
    def starts(self) -> int:
        """How often in a row a run may be started without getting anywhere."""

    def adopt(self, assignment: Assignment) -> TrainingProcess | None:
        """The worker that an earlier server started for the same operation, dead or alive; None if
        there is none."""

    def start(self, assignment: Assignment) -> TrainingProcess:
        """Raises Unavailable (TRAINING_NOT_STARTED)."""
