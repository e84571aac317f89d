"""Scores one folder of images against another."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from services.evaluator.images import FolderImages
from services.evaluator.measure import complete_metrics, measure
from services.evaluator.statistics import extract, real_statistics
from tagloom.artifacts.evaluation import Metric, SnapshotScore
from tagloom.features import open_extractor
from tagloom.progress import Report, silent
from tagloom.store.interface import Store

__all__ = ["ComparisonRequest", "compare_folders"]


@dataclass(frozen=True, slots=True)
class ComparisonRequest:
    """Two folders on this machine."""

    real_path: str
    generated_path: str
    metrics: tuple[Metric, ...] = ()
    """none: Frechet and kernel distance; the kernel distance is always measured"""
    features: str = ""
    """name of the extractor; empty: the best one that the machine has"""


def compare_folders(
    store: Store, request: ComparisonRequest, report: Report = silent
) -> SnapshotScore:
    """Scores a folder of generated images against a folder of real ones.

    The real folder's statistics are kept in the store by content; nothing else is written.

    Raises what `FolderImages`, `open_extractor` and `measure` raise.
    """
    begin = time.perf_counter()
    real_images = FolderImages(Path(request.real_path).expanduser())
    generated_images = FolderImages(Path(request.generated_path).expanduser())
    extractor = open_extractor(request.features)
    real = real_statistics(store, real_images, extractor, report)
    generated_ND = extract(generated_images, extractor, report, phase="generated features")
    return SnapshotScore(
        scores=measure(real, generated_ND, complete_metrics(request.metrics), extractor),
        real=real.count,
        generated=len(generated_ND),
        seconds=time.perf_counter() - begin,
    )
