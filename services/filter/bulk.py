"""Work that makes hundreds of thousands of small objects, all of which stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["without_collector"]


@contextmanager
def without_collector() -> Iterator[None]:
    """No search for cycles inside: it would go over all of those objects again and again.

    Nor at the end, when it would go over all that was made once: they count as old at once.
    What a process has frozen (`gc.freeze`) is old afterwards, too; ours freeze nothing. A decorator
    as well. Where the collector is off already, it stays off.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.freeze()  # all generations into one that is never searched, ...
            gc.unfreeze()  # ... and that into the oldest: lists are joined, nothing is visited
            gc.enable()
