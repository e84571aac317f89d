"""`torchrun` that ends with its parent: `python -m services.trainer.launch.elastic PID ARGS…`."""

from __future__ import annotations

import sys

from tagloom.lifeline import die_with_parent

__all__ = ["EXIT_INTERRUPTED", "main", "run_torchrun"]

EXIT_INTERRUPTED = 75
"""as the worker says it"""


def main(arguments: list[str]) -> int:
    """`arguments`: the parent's process id, then torchrun's own. Returns the worker's exit code."""
    die_with_parent(int(arguments[0]))  # before torch, whose import takes seconds
    return run_torchrun(arguments[1:])


def run_torchrun(arguments: list[str]) -> int:
    """The exit code of the worker that failed first, which torchrun alone would not tell.

    128 and the signal's number for one that a signal ended, 75 when torchrun was told to stop: its
    ranks were told then, and waited for.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    try:
        torchrun(arguments)
    except ChildFailedError as error:
        code: int = error.get_first_failure()[1].exitcode
        return code if code > 0 else 128 - code  # a signal's number comes negative
    except SignalException:
        return EXIT_INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
