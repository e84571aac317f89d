"""The training process: `python -m services.trainer.worker --store URL --run ID`.

It is what `torchrun` starts, on a laptop as in a cluster, once or several times: then the processes
train the run together, each its part of every batch, and rank 0 alone writes. It owns the run while
it trains it (`ownership`), writes everything into the store, and tells only errors on its output,
as lines of JSON; in a pod also in the file TAGLOOM_TERMINATION_LOG, which Kubernetes shows.

Exit codes: 0 the run has ended, now or before; 75 saved and interrupted (SIGTERM); 76 the run is
somebody else's now; 77 another rank is gone; 1 the run failed, or something broke.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch

from services.trainer import records
from services.trainer.attend import Interrupted
from services.trainer.loop import train
from services.trainer.ownership import owning
from services.trainer.ranks import ALONE, PeerLost, join
from services.trainer.schedule import StateSchedule
from services.trainer.worker_events import ErrorEvent, LogEvent, StartEvent
from tagloom.cores import usable_cores
from tagloom.errors import InvalidArgument, TagloomError
from tagloom.lifeline import die_with_parent
from tagloom.progress import silent
from tagloom.store import Store, open_store
from tagloom.store.lease import LeaseHeld, LeaseLost

__all__ = ["EXIT_INTERRUPTED", "EXIT_LEASE_LOST", "EXIT_PEER_LOST", "main"]

_LOG = logging.getLogger("services.trainer.worker")  # its name where it is not __main__

EXIT_INTERRUPTED = 75
EXIT_LEASE_LOST = 76
EXIT_PEER_LOST = 77


def main(arguments: list[str] | None = None) -> int:
    """Trains the run; returns the exit code."""
    die_with_parent()
    parser = argparse.ArgumentParser(description="Trains one run.")
    parser.add_argument("--store", required=True, help="URL of the object store")
    parser.add_argument("--run", required=True, help="id of the run")
    parser.add_argument(
        "--lease-s", type=float, default=5.0, help="seconds that its signs of life last"
    )
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
        states = StateSchedule.from_environment(os.environ)
        with _run_store(given.store, given.run, given.lease_s, lambda: stopping) as store:
            ranks = join(os.environ)
            # A pod may come late, for a run that has ended meanwhile: whoever wants it to go on
            # says so first (ResumeRun).
            if ranks.largest(ranks.writes and records.has_ended(store, given.run)):
                logger.info("runs/%s has ended; there is nothing to train.", given.run)
            else:
                try:
                    train(
                        *(store, given.run, silent),
                        stop=lambda: stopping,
                        states=states,
                        ranks=ranks,
                    )
                except Interrupted:
                    code = EXIT_INTERRUPTED
            # torchrun ends all processes when the first one ends: nobody may before rank 0 has
            # written.
            ranks.wait()
            ranks.leave()
    except Interrupted:
        return EXIT_INTERRUPTED
    except PeerLost as error:
        print(error, flush=True)
        return code or EXIT_PEER_LOST
    except LeaseLost as error:
        _tell(error)
        return EXIT_LEASE_LOST
    except TagloomError as error:
        _tell(error)
        return 1
    return code


@contextlib.contextmanager
def _run_store(
    url: str, run_id: str, lease_s: float, stopping: Callable[[], bool]
) -> Iterator[Store]:
    """The store as this rank sees it: the one that writes owns the run."""
    store = open_store(url, create=False)
    if os.environ.get("RANK", "0") != "0":
        yield store
        return
    told = False

    def go_on(error: LeaseHeld) -> None:
        nonlocal told
        if stopping():
            raise Interrupted("Interrupted before its turn.", reason="TRAINING_INTERRUPTED")
        if not told:
            _LOG.info("Waits for whoever trains runs/%s now: %s", run_id, error.message)
        told = True

    with owning(store, run_id, lease_s, go_on=go_on) as owned:
        yield owned


def _tell(error: TagloomError) -> None:
    """The error where the launcher looks for it. The first of a pod's processes is heard."""
    line = ErrorEvent.of(error).to_line()
    print(line, flush=True)
    path = os.environ.get("TAGLOOM_TERMINATION_LOG", "")
    if path:
        with contextlib.suppress(OSError):
            if not Path(path).stat().st_size:
                Path(path).write_text(line + "\n")


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
