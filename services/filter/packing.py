"""Survivors to the two zips of a dataset: squares to train on, and squares held out.

Squares lie in the order of their images' hashes, so the bytes do not depend on the order in which
photos were collected, nor on how many processes cut them.
"""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from services.filter.archive import DatasetZip
from services.filter.crop import SquareId, held_out, squares
from services.filter.cutting import ToCut, cut_image
from services.filter.processes import Died, Processes
from services.filter.request import BuildRequest
from tagloom.artifacts import layout
from tagloom.artifacts.dataset import LabelClass, Square, Verdict
from tagloom.errors import ResourceExhausted
from tagloom.files import is_full
from tagloom.progress import Report
from tagloom.store.interface import Store

__all__ = ["Packed", "count_classes", "count_squares", "held_out_squares", "write_zips"]

_SUBJECTS = frozenset({"faces"})
"""checks whose boxes hold what a photo is about, where a profile lets them pass"""


@dataclass(frozen=True, slots=True)
class Packed:
    """What the zips hold."""

    train: int
    held_out: int
    content_sha256: str
    """of images.zip"""
    held_out_sha256: str
    """of held_out.zip; empty when nothing is held out"""
    squares: dict[str, tuple[Square, ...]] = field(default_factory=dict)
    """where they were cut and what they became, by the SHA-256 of the image"""


def count_squares(verdict: Verdict, request: BuildRequest) -> int:
    """How many squares will be cut from a survivor."""
    return len(squares(verdict.width, verdict.height, request.crop, request.resolution))


def write_zips(
    store: Store,
    processes: Processes,
    request: BuildRequest,
    kept: Sequence[Verdict],
    classes: Sequence[str],
    report: Report,
) -> Packed:
    """Cuts the survivors of a dataset and stores both zips, labelled where there are classes.

    Raises ResourceExhausted (DISK_FULL, DECODER_DIED), DataLoss, and Cancelled from `report`.
    """
    kept = sorted(kept, key=lambda verdict: verdict.sha256)
    aside = held_out_squares(kept, request)
    try:
        with tempfile.TemporaryDirectory(prefix="tagloom-filter-") as folder, ExitStack() as stack:
            train = stack.enter_context(DatasetZip(Path(folder) / "images.zip", classes))
            rest = None
            if aside:
                rest = stack.enter_context(DatasetZip(Path(folder) / "held_out.zip", classes))
            found = _cut_all(processes, request, kept, aside, train, rest, report)
            stack.close()
            report("write", 0, 1)
            store.put_file(layout.dataset_images(request.dataset), Path(folder) / "images.zip")
            held_out_key = layout.dataset_held_out(request.dataset)
            if rest is None:
                store.delete(held_out_key)  # of an earlier try with other settings
                return Packed(train.count, 0, train.sha256(), "", found)
            store.put_file(held_out_key, Path(folder) / "held_out.zip")
            return Packed(train.count, rest.count, train.sha256(), rest.sha256(), found)
    except OSError as error:
        if not is_full(error):
            raise
        raise ResourceExhausted(
            f"The disk for temporary files ({tempfile.gettempdir()}) is full; free some space, or "
            "set TMPDIR to a larger one, then try again.",
            reason="DISK_FULL",
        ) from error


def count_classes(
    kept: Sequence[Verdict], classes: Sequence[str], packed: Packed
) -> tuple[LabelClass, ...]:
    """How many squares each class has."""
    train: Counter[str] = Counter()
    rest: Counter[str] = Counter()
    for verdict in kept:
        for square in packed.squares[verdict.sha256]:
            (rest if square.held_out else train)[verdict.label] += 1
    return tuple(LabelClass(name=name, train=train[name], held_out=rest[name]) for name in classes)


def held_out_squares(kept: Sequence[Verdict], request: BuildRequest) -> frozenset[SquareId]:
    """The squares to hold out; each class keeps some to train on."""
    ids = [(verdict.sha256, i) for verdict in kept for i in range(verdict.tiles)]
    aside = held_out(
        ids, request.held_out_ratio, request.seed, whole_images=request.crop.overlap > 0
    )
    by_class: dict[str, set[SquareId]] = defaultdict(set)
    for verdict in kept:
        by_class[verdict.label].update((verdict.sha256, i) for i in range(verdict.tiles))
    for squares_of_class in by_class.values():
        if squares_of_class <= aside:  # a class that training never sees has no label to learn
            aside -= squares_of_class
    return aside


def _cut_all(
    processes: Processes,
    request: BuildRequest,
    kept: Sequence[Verdict],
    aside: frozenset[SquareId],
    train: DatasetZip,
    rest: DatasetZip | None,
    report: Report,
) -> dict[str, tuple[Square, ...]]:
    pieces = [_to_cut(verdict, request) for verdict in kept]
    labels = {verdict.sha256: verdict.label for verdict in kept}
    found: dict[str, tuple[Square, ...]] = {}
    report("cut", 0, len(pieces))
    for done, (piece, outcome) in enumerate(processes.spread(cut_image, pieces), start=1):
        if isinstance(outcome, Died):
            raise ResourceExhausted(
                f"Decoding the image {piece.sha256} in full ended the process that tried, most "
                "often for want of memory; give the filter more memory, then try again.",
                reason="DECODER_DIED",
                sha256=piece.sha256,
            )
        squares_of_image = []
        for index, made in enumerate(outcome):
            out = rest is not None and (piece.sha256, index) in aside
            to = rest if rest is not None and out else train
            name = to.add(made.png, labels[piece.sha256])
            squares_of_image.append(made.square.model_copy(update={"held_out": out, "file": name}))
        found[piece.sha256] = tuple(squares_of_image)
        report("cut", done, len(pieces))
    return found


def _to_cut(verdict: Verdict, request: BuildRequest) -> ToCut:
    boxes = tuple(
        box for result in verdict.results if result.check in _SUBJECTS for box in result.boxes
    )
    return ToCut(verdict.sha256, request.crop, request.resolution, boxes)
