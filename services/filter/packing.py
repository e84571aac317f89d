"""Survivors to the two zips of a dataset: squares to train on, and squares held out."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from services.filter.archive import DatasetZip
from services.filter.crop import Square, SquareId, held_out, squares
from services.filter.cutting import ToCut, cut_image
from services.filter.processes import Died, Processes
from services.filter.request import BuildRequest
from tagloom.artifacts import layout
from tagloom.artifacts.dataset import Verdict
from tagloom.errors import ResourceExhausted
from tagloom.files import is_full
from tagloom.progress import Report
from tagloom.store.interface import Store

__all__ = ["Packed", "squares_of", "write_zips"]


@dataclass(frozen=True, slots=True)
class Packed:
    """What the zips hold."""

    train: int
    held_out: int
    content_sha256: str
    """of images.zip"""
    held_out_sha256: str
    """of held_out.zip; empty when nothing is held out"""


def squares_of(verdict: Verdict, request: BuildRequest) -> list[Square]:
    """The squares to cut from a survivor."""
    return squares(verdict.width, verdict.height, request.crop, request.resolution)


def write_zips(
    store: Store,
    processes: Processes,
    request: BuildRequest,
    kept: Sequence[Verdict],
    report: Report,
) -> Packed:
    """Cuts the survivors of a dataset and stores both zips.

    Raises ResourceExhausted (DISK_FULL, DECODER_DIED), DataLoss, and Cancelled from `report`.
    """
    ids = [(verdict.sha256, i) for verdict in kept for i in range(verdict.tiles)]
    aside = held_out(ids, request.held_out_ratio, request.seed)
    try:
        with tempfile.TemporaryDirectory(prefix="tagloom-filter-") as folder, ExitStack() as stack:
            train = stack.enter_context(DatasetZip(Path(folder) / "images.zip"))
            rest = stack.enter_context(DatasetZip(Path(folder) / "held_out.zip")) if aside else None
            _cut_all(processes, request, kept, aside, train, rest, report)
            stack.close()
            report("write", 0, 1)
            store.put_file(layout.dataset_images(request.dataset), Path(folder) / "images.zip")
            held_out_key = layout.dataset_held_out(request.dataset)
            if rest is None:
                store.delete(held_out_key)  # of an earlier try with other settings
                return Packed(train.count, 0, train.sha256(), "")
            store.put_file(held_out_key, Path(folder) / "held_out.zip")
            return Packed(train.count, rest.count, train.sha256(), rest.sha256())
    except OSError as error:
        if not is_full(error):
            raise
        raise ResourceExhausted(
            f"The disk for temporary files ({tempfile.gettempdir()}) is full; free some space, or "
            "set TMPDIR to a larger one, then try again.",
            reason="DISK_FULL",
        ) from error


def _cut_all(
    processes: Processes,
    request: BuildRequest,
    kept: Sequence[Verdict],
    aside: frozenset[SquareId],
    train: DatasetZip,
    rest: DatasetZip | None,
    report: Report,
) -> None:
    pieces = [
        ToCut(verdict.sha256, tuple(squares_of(verdict, request)), request.crop.output_size)
        for verdict in kept
    ]
    report("cut", 0, len(pieces))
    for done, (piece, outcome) in enumerate(processes.spread(cut_image, pieces), start=1):
        if isinstance(outcome, Died):
            raise ResourceExhausted(
                f"Decoding the image {piece.sha256} in full ended the process that tried, most "
                "often for want of memory; give the filter more memory, then try again.",
                reason="DECODER_DIED",
                sha256=piece.sha256,
            )
        for index, png in enumerate(outcome):
            to = rest if rest is not None and (piece.sha256, index) in aside else train
            to.add(png)
        report("cut", done, len(pieces))
