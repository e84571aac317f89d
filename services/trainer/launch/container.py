"""The training container: `torchrun` as its first process, told what to do by PET_… variables.

`python -m services.trainer.launch.container --store URL --run ID` starts the worker's ranks, as
many as PET_NPROC_PER_NODE says, which meet those of other nodes as PET_NNODES, PET_NODE_RANK,
PET_MASTER_ADDR and PET_MASTER_PORT say: one node's Job and a TrainJob of several speak the same
language. The worker's exit code becomes the container's, which torchrun alone would not tell; by it
a Job knows a crash from an interruption.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from services.trainer.launch.elastic import EXIT_INTERRUPTED, run_torchrun
from tagloom.compute import COMPUTE_ENVIRONMENT

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """`arguments`: the worker's own. Returns the container's exit code."""
    # The kernel spares the first process of a container from a SIGTERM that it does not handle,
    # and until torchrun does, there are seconds of imports.
    signal.signal(signal.SIGTERM, _nothing_to_save)
    for name, value in COMPUTE_ENVIRONMENT.items():  # for the ranks, which are started anew
        os.environ.setdefault(name, value)
    return run_torchrun(["--max-restarts=0", "-m", "--", "services.trainer.worker", *arguments])


def _nothing_to_save(signum: int, frame: FrameType | None) -> NoReturn:
    # Not by SystemExit: raised amid the imports of large libraries, it may be caught by them.
    os._exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
