"""How long work tells where it is: one callable, known to every domain module."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Report", "silent"]


class Report(Protocol):
    """Called by long work between two pieces of it, often enough to be watched.

    Raises `tagloom.errors.Cancelled` when somebody asked the work to stop: domain code lets it
    pass after making its state durable.
    """

    def __call__(self, phase: str, done: int, total: int, message: str = "") -> None:
        """`phase` is a word or two ("decode", "train"); `done` of `total` items are finished
        (total 0: not known yet); `message` is the latest thing worth reading."""


def silent(phase: str, done: int, total: int, message: str = "") -> None:
    """A `Report` that tells nobody."""
