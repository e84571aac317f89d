"""Pieces of work spread over processes, so that a hostile file can end a process but not the job.

A decoder that crashes, or is killed for its memory, breaks the whole pool: the pieces that were
under way are then tried one at a time, and the guilty one is named. It is guilty when two processes
died of it while it was alone with them: one may have been killed for another reason.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

import cv2

from tagloom.cores import usable_cores
from tagloom.errors import Unavailable
from tagloom.store import open_store
from tagloom.store.interface import Store
from tagloom.store.tally import TALLY, Counted

__all__ = ["Died", "Processes", "worker_store"]

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 3
"""pieces submitted per process: enough to keep it busy, few enough to bound what lies in memory"""
_STRIKES = 2
"""processes that a piece may end, alone, before it is given up"""
_PIECES_PER_PROCESS = 8
"""below, starting another process costs more than it saves"""
_store: Store | None = None


@dataclass(frozen=True, slots=True)
class Died(Generic[T]):
    """In place of a result: the process working on this piece, and nothing else, died."""

    piece: T


def worker_store() -> Store:
    """The store, inside a worker process."""
    if _store is None:
        raise RuntimeError(
            "only functions given to Processes.spread may ask for the worker's store"
        )
    return _store


class Processes:
    """A few spawned processes, started when first needed; use as a context manager."""

    def __init__(self, store_url: str, expected: int) -> None:
        """As many processes as cores, or fewer where `expected` pieces are not worth it."""
        self._store_url = store_url
        self._size = max(1, min(usable_cores(), -(-expected // _PIECES_PER_PROCESS)))
        self._pool: ProcessPoolExecutor | None = None
        self._function: object = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def spread(
        self, function: Callable[[T], R], pieces: Sequence[T]
    ) -> Iterator[tuple[T, R | Died[T]]]:
        """`function(piece)` for each piece, results in the order of the pieces.

        `function` is a picklable top-level one; it reads the store through `worker_store()`.
        What it raises is raised here. Raises Unavailable (PROCESSES_BROKEN) where processes die
        without any piece.
        """
        todo = deque(pieces)
        running: deque[Future[tuple[R, Counted]]] = deque()
        suspects = strikes = 0
        if self._function not in (None, function):
            self._end()  # what the other work keeps in memory is of no use to this one
        self._function = function
        while todo:
            ahead = 1 if suspects else self._size * _AHEAD
            try:
                while len(running) < min(ahead, len(todo)):
                    piece = todo[len(running)]
                    running.append(self._started().submit(_counted, function, piece))
                result: R | Died[T]
                result, counted = running.popleft().result()
                TALLY.add(counted)
            except BrokenProcessPool:
                self._end()
                running.clear()
                if not suspects:
                    suspects = min(ahead, len(todo))
                    continue
                self._check()
                strikes += 1  # it was alone
                if strikes < _STRIKES:
                    continue
                result = Died(todo[0])
            strikes = 0
            suspects = max(0, suspects - 1)
            yield todo.popleft(), result

    def _check(self) -> None:
        """Whether processes can work at all: no file is to blame where they cannot even start."""
        try:
            self._started().submit(_nothing).result()
        except BrokenProcessPool as error:
            self._end()
            raise Unavailable(
                "Processes that read images cannot be started; their messages, just before this "
                "one, say why. Mend that and start again: nothing was decided.",
                reason="PROCESSES_BROKEN",
            ) from error

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._size,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start,
                initargs=(self._store_url,),
            )
        return self._pool

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _counted(function: Callable[[T], R], piece: T) -> tuple[R, Counted]:
    """The result, and what was asked of the store for it: nobody scrapes this process."""
    return function(piece), TALLY.take()


def _nothing() -> None:
    """What a process that can start can do."""


def _end_with_parent() -> None:
    """An executor's processes outlive a killed parent: they hold both ends of its queue."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _start(store_url: str) -> None:
    global _store
    threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    cv2.setNumThreads(1)  # one process per core already
    _store = open_store(store_url, create=False)
