"""Compiled kernels on as many threads as torch uses.

Numba's own thread pools were the alternative: its OpenMP layer needs the system's libgomp and its
workers spin beside torch's, and its built-in layer ends the process when two Python threads
enter it at once. Kernels release the GIL, so plain threads do, at some 30 microseconds a call.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

from tagloom.cores import usable_cores

__all__ = ["run_in_ranges"]

# Below this much work for a thread, handing it over costs more than it gains.
_WORTHWHILE = 100_000

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None


def _executor() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            workers = max(1, usable_cores() - 1)
            _pool = ThreadPoolExecutor(workers, thread_name_prefix="tagloom-kernel")
        return _pool


def _forget_pool() -> None:
    global _pool, _lock
    _pool = None
    _lock = threading.Lock()


# A forked child has the parent's pool but none of its threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def run_in_ranges(function: Callable[[int, int], None], count: int, cost: int) -> None:
    """Call function(first, last) for consecutive ranges that cover range(count).

    function: must release the GIL to gain anything, and may be called from several threads at once.
    cost: of one item, in elementary operations.
    """
    threads = min(torch.get_num_threads(), count, max(1, count * cost // _WORTHWHILE))
    bounds = [count * index // threads for index in range(threads + 1)]
    jobs = [
        _executor().submit(function, bounds[index], bounds[index + 1])
        for index in range(1, threads)
    ]
    try:
        function(bounds[0], bounds[1])
    finally:
        errors = [job.exception() for job in jobs]
    for error in errors:
        if error is not None:
            raise error
