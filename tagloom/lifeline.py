"""A process that must not outlive the one that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

__all__ = ["die_with_parent"]

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int | None = None, by: signal.Signals = signal.Signals.SIGKILL) -> None:
    """Ask the kernel to end this process when the thread that started it ends (Linux only).

    parent: its process id, where known: one that died before this call is noticed too.
    by: the signal to end by.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, by, 0, 0, 0)
    if parent is not None and os.getppid() != parent:  # before the kernel knew of our wish
        os._exit(1)
