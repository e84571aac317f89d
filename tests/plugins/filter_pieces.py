"""Pieces of work for `services.filter.processes`, and whole builds, run in other processes."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from services.filter.measuring import ToMeasure, measure
from services.filter.processes import worker_store
from services.filter.request import BuildRequest
from tagloom.artifacts.dataset import Crop
from tagloom.errors import InvalidArgument
from tagloom.store import open_store

REQUEST = BuildRequest(
    "killed", "photos", 128, Crop(mode="tiles", tile_size=128, output_size=32), (), 0.25, 7
)


def double(piece: int) -> tuple[int, int]:
    """Twice the piece, and who computed it; some pieces are trouble."""
    if piece == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    if piece == 99:
        raise InvalidArgument("Ninety-nine cannot be doubled; try another.", reason="TEST_REASON")
    return 2 * piece, os.getpid()


@dataclass(frozen=True)
class Fatal:
    """A piece that ends its process until its file is there."""

    number: int
    marker: str


def fatal_once(piece: Fatal) -> int:
    """The piece's number, the second time."""
    if not Path(piece.marker).exists():
        Path(piece.marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return piece.number


def score_and_weigh(piece: ToMeasure) -> tuple[bool, int]:
    """Whether the image could be decoded, and what its process holds in memory then, in bytes."""
    found = measure(piece)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(found.measured) > 1, pages * os.sysconf("SC_PAGE_SIZE")


def read(key: str) -> bytes:
    """An object of the worker's store."""
    return worker_store().get(key)


def main() -> None:
    """Builds a dataset and dies on the way: `python filter_pieces.py STORE PHASE PIDS`."""
    from services.filter.build import build_dataset

    store, fatal_phase, pids = open_store(sys.argv[1]), sys.argv[2], Path(sys.argv[3])

    def report(phase: str, done: int, total: int, message: str = "") -> None:
        if phase == fatal_phase and done > 0:
            import psutil

            children = psutil.Process().children(recursive=True)
            pids.write_text(" ".join(str(child.pid) for child in children))
            os.kill(os.getpid(), signal.SIGKILL)

    build_dataset(store, REQUEST, report)


if __name__ == "__main__":
    main()
