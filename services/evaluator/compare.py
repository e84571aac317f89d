"""Scores one folder of images against another."""

from __future__ import annotations

import time

from services.evaluator.images import FolderImages
from services.evaluator.measure import complete_metrics, measure
from services.evaluator.requests import ComparisonRequest, check_comparison
from services.evaluator.statistics import extract, real_statistics
from tagloom.artifacts.evaluation import SnapshotScore
from tagloom.features import open_extractor
from tagloom.progress import Report, silent
from tagloom.store.interface import Store

__all__ = ["compare_folders"]


def compare_folders(
    store: Store, request: ComparisonRequest, report: Report = silent
) -> SnapshotScore:
    """Scores a folder of generated images against a folder of real ones.

    The real folder's statistics are kept in the store by content; nothing else is written.

    Raises what `check_comparison`, `FolderImages`, `open_extractor` and `measure` raise.
    """
    begin = time.perf_counter()
    real_folder, generated_folder = check_comparison(request)
    real_images, generated_images = FolderImages(real_folder), FolderImages(generated_folder)
    extractor = open_extractor(request.features)
    real = real_statistics(store, real_images, extractor, report)
    generated_ND = extract(generated_images, extractor, report, phase="generated features")
    return SnapshotScore(
        scores=measure(real, generated_ND, complete_metrics(request.metrics), extractor),
        real=real.count,
        generated=len(generated_ND),
        seconds=time.perf_counter() - begin,
    )
