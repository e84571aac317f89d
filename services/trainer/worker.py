"""The training process: `python -m services.trainer.worker --store URL --run ID --lease KEY …`.

It is what `torchrun` starts, on a laptop as in a cluster, once or several times: then the processes
train the run together, each its part of every batch, and rank 0 alone writes. It trains under a
lease that its starter holds, writes everything into the store, and tells only errors on its output,
as lines of JSON.

Exit codes: 0 the run has succeeded or was stopped on request; 75 saved and interrupted (SIGTERM);
76 the lease is somebody else's; 1 the run failed, or something broke.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Mapping

import torch

from services.trainer.attend import Interrupted
from services.trainer.loop import train
from services.trainer.ranks import ALONE, PeerLost, join
from services.trainer.schedule import StateSchedule
from services.trainer.worker_events import ErrorEvent, LogEvent, StartEvent
from tagloom.cores import usable_cores
from tagloom.errors import InvalidArgument, TagloomError
from tagloom.lifeline import die_with_parent
from tagloom.progress import silent
from tagloom.store.fenced import open_fenced
from tagloom.store.lease import LeaseLost

__all__ = ["EXIT_INTERRUPTED", "EXIT_LEASE_LOST", "main"]

EXIT_INTERRUPTED = 75
EXIT_LEASE_LOST = 76


def main(arguments: list[str] | None = None) -> int:
    """Trains the run; returns the exit code."""
    die_with_parent()
    parser = argparse.ArgumentParser(description="Trains one run under a lease.")
    parser.add_argument("--store", required=True, help="URL of the object store")
    parser.add_argument("--run", required=True, help="id of the run")
    parser.add_argument("--lease", required=True, help="key of the lease that its starter holds")
    parser.add_argument("--fence", required=True, type=int, help="the lease's fencing number")
    given = parser.parse_args(arguments)

    stopping = False

    def stop(signum: int, frame: object) -> None:
        nonlocal stopping
        stopping = True

    logger = logging.getLogger("services.trainer")
    logger.setLevel(logging.INFO)
    logger.addHandler(_LogLines())
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    ranks, code = ALONE, 0
    try:
        torch.set_num_threads(_threads(os.environ))
        print(StartEvent(os.getpid(), torch.get_num_threads()).to_line(), flush=True)
        store = open_fenced(given.store, given.lease, given.fence)
        states = StateSchedule.from_environment(os.environ)
        ranks = join(os.environ)
        try:
            train(store, given.run, silent, stop=lambda: stopping, states=states, ranks=ranks)
        except Interrupted:
            code = EXIT_INTERRUPTED
        # torchrun ends all processes when the first one ends: nobody may before rank 0 has written.
        ranks.wait()
        ranks.leave()
    except PeerLost as error:
        print(error, flush=True)
        return code or 1
    except LeaseLost as error:
        print(ErrorEvent.of(error).to_line(), flush=True)
        return EXIT_LEASE_LOST
    except TagloomError as error:
        print(ErrorEvent.of(error).to_line(), flush=True)
        return 1
    return code


class _LogLines(logging.Handler):
    """What the training logs, as lines for the launcher."""

    def emit(self, record: logging.LogRecord) -> None:
        print(LogEvent(record.levelno, record.getMessage()).to_line(), flush=True)


def _threads(environment: Mapping[str, str]) -> int:
    """TAGLOOM_TORCH_THREADS, or this process's share of the cores that it may run on."""
    text = environment.get("TAGLOOM_TORCH_THREADS", "")
    if not text:
        return max(usable_cores() // int(environment.get("LOCAL_WORLD_SIZE", "1")), 1)
    if not text.isdigit() or int(text) < 1:
        raise InvalidArgument(
            f"TAGLOOM_TORCH_THREADS is {text!r}, but should be a whole number of at least 1.",
            reason="SETTING_INVALID",
            setting="TAGLOOM_TORCH_THREADS",
        )
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
