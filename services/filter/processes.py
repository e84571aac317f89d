"""Pieces of work spread over processes, so that a hostile file can end a process but not the job.

A decoder that crashes, or is killed for its memory, breaks its whole pool: the pieces that were
under way are then tried one at a time, each in a process of its own, and the guilty one is named.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Generic, TypeVar

import cv2

from tagloom.store import open_store
from tagloom.store.interface import Store

__all__ = ["Died", "cores", "spread", "worker_store"]

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 3
"""pieces submitted per process: enough to keep it busy, few enough to bound what lies in memory"""
_store: Store | None = None


@dataclass(frozen=True, slots=True)
class Died(Generic[T]):
    """In place of a result: the process working on this piece, and nothing else, died."""

    piece: T


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_store() -> Store:
    """The store, inside a worker process."""
    if _store is None:
        raise RuntimeError("only the functions given to `spread` may ask for the worker's store")
    return _store


def spread(
    function: Callable[[T], R], pieces: Sequence[T], store_url: str, *, pieces_per_process: int = 8
) -> Generator[tuple[T, R | Died[T]], None, None]:
    """`function(piece)` for each piece, results in the order of the pieces.

    `function` is a picklable top-level one; it reads the store through `worker_store()`. What it
    raises is raised here. As many processes as cores, fewer where there is little to do.
    """
    size = max(1, min(cores(), -(-len(pieces) // pieces_per_process)))
    todo = deque(pieces)
    while todo:
        try:
            yield from _in_pool(function, todo, size, store_url)
        except BrokenProcessPool:
            # Which of the pieces under way broke it is not known: try each of them alone.
            for _ in range(min(size * _AHEAD, len(todo))):
                piece = todo.popleft()
                yield piece, _alone(function, piece, store_url)


def _in_pool(
    function: Callable[[T], R], todo: deque[T], size: int, store_url: str
) -> Iterator[tuple[T, R]]:
    """Takes from `todo` what it yields, so that the caller knows what is left."""
    with _pool(size, store_url) as pool:
        running: deque[Future[R]] = deque()
        try:
            while todo:
                while len(running) < min(size * _AHEAD, len(todo)):
                    running.append(pool.submit(function, todo[len(running)]))
                result = running.popleft().result()
                yield todo.popleft(), result
        finally:
            pool.shutdown(cancel_futures=True)


def _alone(function: Callable[[T], R], piece: T, store_url: str) -> R | Died[T]:
    with _pool(1, store_url) as pool:
        try:
            return pool.submit(function, piece).result()
        except BrokenProcessPool:
            return Died(piece)


def _pool(size: int, store_url: str) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        size,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(store_url,),
    )


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
