"""The part of the page about scores: curves with intervals, the table, what each metric means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from pipelines.report.charts import Chart, Point, Series, number
from pipelines.report.gather import RunMaterials
from pipelines.report.words import MISSING
from tagloom.artifacts.evaluation import EquivarianceMetric
from tagloom.v1 import evaluator_pb2

__all__ = [
    "ScoreRow",
    "best_kernel_distance",
    "glossary",
    "score_charts",
    "score_names",
    "score_rows",
]

COLOURS = 8

MEANINGS = {
    "frechet": (
        "Distance between two Gaussians fitted to the features of real and generated images; "
        "lower is better, 0 is equal. It falls with the number of images, so compare only equal "
        "counts."
    ),
    "kernel": (
        "Squared maximum mean discrepancy with a cubic kernel between real and generated features; "
        "lower is better, about 0 means no difference found. Unbiased, so it is fair to few images."
    ),
    "precision": (
        "Share of generated images that fall among the real ones: how believable; higher is better."
    ),
    "recall": (
        "Share of real images that fall among the generated ones: how varied; higher is better."
    ),
    "eqt_int": (
        "EQ-T, in decibels: the generator is told to move its image by whole pixels, and the "
        "result is compared with its image moved by as much; higher is better, from 60 dB on the "
        "difference is invisible, below 20 dB details stick to the pixels. It needs no real "
        "images, and says nothing of how good the generated ones look."
    ),
    "eqt_frac": "EQ-T by fractions of pixels too, in decibels; higher is better.",
    "eqr": (
        "EQ-R, the same for rotations, in decibels; higher is better. StyleGAN3-R is made for it, "
        "StyleGAN3-T is not."
    ),
}
FAMILIES = {"fid": "frechet", "kid": "kernel"}
TITLES = {
    "frechet": "Fréchet distance",
    "kernel": "Kernel distance",
    "eqt_int": "Equivariance to translation, dB",
    "eqt_frac": "Equivariance to translation by any distance, dB",
    "eqr": "Equivariance to rotation, dB",
}
SHARES = ("precision", "recall")
DECIBELS: tuple[str, ...] = get_args(EquivarianceMetric)


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One snapshot's scores as text."""

    label: str
    kimg: str
    scores: list[str]
    real: str
    generated: str
    best: bool


def family(metric: str) -> str:
    """`kernel` for `kernel_efficientnet_lite0` and for `kid`; `eqt_int` has no features."""
    if metric in DECIBELS:
        return metric
    name = metric.split("_")[0]
    return FAMILIES.get(name, name)


def best_kernel_distance(evaluation: evaluator_pb2.Evaluation) -> float:
    """The kernel distance of the best snapshot."""
    for snapshot in evaluation.snapshots:
        for score in snapshot.scores:
            if snapshot.snapshot == evaluation.best_snapshot and family(score.metric) == "kernel":
                return score.value
    raise ValueError(f"{evaluation.name} has no kernel distance of {evaluation.best_snapshot}")


def score_names(runs: Sequence[RunMaterials]) -> list[str]:
    """The metrics' full names, kernel distances first: the verdict rests on them."""
    names: dict[str, None] = {}
    for run in runs:
        for snapshot in run.evaluation.snapshots:
            names.update(dict.fromkeys(score.metric for score in snapshot.scores))
    return sorted(names, key=lambda name: family(name) != "kernel")


def score_charts(runs: Sequence[RunMaterials]) -> list[Chart]:
    """One chart a metric, one line a run."""
    names = score_names(runs)
    charts = []
    for name in names:
        lines = []
        for index, run in enumerate(runs):
            points = [
                Point(snapshot.kimg, score.value, score.low, score.high)
                if score.low < score.high
                else Point(snapshot.kimg, score.value)
                for snapshot in run.evaluation.snapshots
                for score in snapshot.scores
                if score.metric == name
            ]
            label = run.label if len(runs) > 1 else TITLES.get(family(name), family(name))
            lines.append(Series(label, index % COLOURS + 1, points, markers=True))
        title = TITLES.get(family(name), family(name).capitalize())
        share, decibels = family(name) in SHARES, name in DECIBELS
        better = "higher" if share or decibels else "lower"
        charts.append(
            Chart(
                title=f"{title} ({name}): {better} is better",
                x_label="kimg, thousands of images seen",
                series=lines,
                zero_based=not decibels,  # 0 dB is not "nothing"
                y_range=(0.0, 1.0) if share else None,
            )
        )
    return charts


def score_rows(runs: Sequence[RunMaterials]) -> list[ScoreRow]:
    """Every number, with its interval where one is known."""
    names = score_names(runs)
    rows = []
    for run in runs:
        for snapshot in run.evaluation.snapshots:
            scores = {score.metric: score for score in snapshot.scores}
            cells = []
            for name in names:
                score = scores.get(name)
                cells.append(MISSING if score is None else _with_interval(score))
            rows.append(
                ScoreRow(
                    label=run.label,
                    kimg=number(snapshot.kimg),
                    scores=cells,
                    real=f"{snapshot.real_count:,}",
                    generated=f"{snapshot.generated_count:,}",
                    best=snapshot.snapshot == run.evaluation.best_snapshot,
                )
            )
    return rows


def _with_interval(score: evaluator_pb2.Score) -> str:
    value = number(score.value) + (" dB" if score.metric in DECIBELS else "")
    if score.low < score.high:
        return f"{value} [{number(score.low)}, {number(score.high)}]"
    return value


def glossary(runs: Sequence[RunMaterials]) -> list[tuple[str, str]]:
    """One sentence a metric that occurs."""
    entries = []
    for name in score_names(runs):
        meaning = MEANINGS.get(family(name))
        if meaning:
            entries.append((name, meaning))
    features = runs[0].evaluation.features.extractor
    if features != "inception_v3":
        entries.append(
            (
                "Comparable?",
                f"Only with scores from the same features. These come from {features}, so they are "
                "not FID or KID, whose features are Inception-v3's.",
            )
        )
    return entries
