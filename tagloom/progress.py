"""How long work tells where it is: one callable, known to every domain module."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

__all__ = ["Report", "Wait", "silent"]


@dataclass(frozen=True, slots=True)
class Wait:
    """What work waits for, for programs; people read the message."""

    reason: str
    """UPPER_SNAKE_CASE"""
    until: datetime | None
    """when it goes on, UTC; None: nobody can say"""
    posts_left: int | None = None
    """posts still to take, where the work knows"""
    images_left: int | None = None
    """images still to take: an estimate from the posts so far"""


class Report(Protocol):
    """Called by long work between two pieces of it, often enough to be watched.

    Raises `tagloom.errors.Cancelled` when somebody asked the work to stop: domain code lets it
    pass after making its state durable.
    """

    def __call__(
        self, phase: str, done: int, total: int, message: str = "", *, wait: Wait | None = None
    ) -> None:
        """`phase` is a word or two ("decode", "train"); `done` of `total` items are finished
        (total 0: not known yet); `message` is the latest thing worth reading; `wait` tells more
        of a phase in which nothing happens."""


def silent(
    phase: str, done: int, total: int, message: str = "", *, wait: Wait | None = None
) -> None:
    """A `Report` that tells nobody."""
