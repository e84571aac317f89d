"""All metrics of one set of generated images, named by their features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, get_args

import numpy as np
import numpy.typing as npt

from services.evaluator.frechet import FeatureStatistics, frechet_distance, statistics_of
from services.evaluator.precision_recall import precision_recall
from tagloom.artifacts.evaluation import Features, Metric, Score
from tagloom.features import FeatureExtractor
from tagloom.features.kernel import kernel_distance

__all__ = ["DEFAULT_METRICS", "MEASURE_VERSION", "complete_metrics", "describe", "measure"]

DEFAULT_METRICS: Final[tuple[Metric, ...]] = ("frechet", "kernel")
MEASURE_VERSION: Final = "1"
"""raised whenever the same features would give other scores; part of the key of stored scores"""


def complete_metrics(metrics: Iterable[Metric]) -> tuple[Metric, ...]:
    """The metrics in canonical order, without repetition; the default ones for none.

    The kernel distance is always among them: gate and best snapshot are judged by it.
    """
    chosen = {*(tuple(metrics) or DEFAULT_METRICS), "kernel"}
    return tuple(metric for metric in get_args(Metric) if metric in chosen)


def describe(extractor: FeatureExtractor) -> Features:
    """What an evaluation says of the features it used."""
    return Features(
        extractor=extractor.name,
        version=extractor.version,
        weights_sha256=extractor.weights_sha256,
        dimensions=extractor.dim,
    )


def measure(
    real: FeatureStatistics,
    generated_ND: npt.NDArray[np.float32],
    metrics: Sequence[Metric],
    extractor: FeatureExtractor,
) -> tuple[Score, ...]:
    """One score per metric that compares features, in order.

    Raises FailedPrecondition (TOO_FEW_IMAGES) when a set is too small for a metric.
    """
    values: dict[Metric, tuple[float, float, float]] = {}
    if "frechet" in metrics:
        distance = frechet_distance(real, statistics_of(generated_ND))
        values["frechet"] = (distance, distance, distance)
    if "kernel" in metrics:
        kernel = kernel_distance(real.features, generated_ND)
        values["kernel"] = (kernel.value, kernel.low, kernel.high)
    if "precision" in metrics or "recall" in metrics:
        shares = precision_recall(real.features, generated_ND)
        values["precision"] = (shares.precision,) * 3
        values["recall"] = (shares.recall,) * 3
    return tuple(
        Score(metric=extractor.metric_name(metric), value=value, low=low, high=high)
        for metric in metrics
        if metric in values
        for value, low, high in [values[metric]]
    )
