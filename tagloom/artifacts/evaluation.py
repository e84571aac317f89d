"""An evaluation: the scores of a run's snapshots."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from tagloom.artifacts.base import Manifest, Record

__all__ = [
    "EquivarianceMetric",
    "Evaluation",
    "Features",
    "Gate",
    "Metric",
    "Score",
    "SnapshotScore",
]

EquivarianceMetric = Literal["eqt_int", "eqt_frac", "eqr"]
"""translation by whole pixels, by any distance (up to 1/8 of the image), rotation"""
Metric = Literal["frechet", "kernel", "precision", "recall", "eqt_int", "eqt_frac", "eqr"]


class Features(Record):
    """The features that distances are measured in."""

    extractor: str
    version: str
    weights_sha256: str
    dimensions: int


class Score(Record):
    """One number with its 95 % interval (low = high = value where none is known)."""

    metric: str
    value: float
    low: float
    high: float


class SnapshotScore(Record):
    """The scores of one snapshot, or of one pair of folders."""

    snapshot: str = ""
    kimg: float = 0.0
    scores: tuple[Score, ...]
    real: int
    """real images compared with"""
    generated: int
    seconds: float


class Gate(Record):
    """Whether training brought the generator nearer to the target."""

    passed: bool
    sentence: str


class Evaluation(Manifest):
    """`evaluations/<id>.json`."""

    id: str
    create_time: datetime
    run: str
    dataset: str
    held_out: bool
    """whether the real images were held out from training"""
    features: Features
    snapshots: tuple[SnapshotScore, ...]
    gate: Gate
    best_snapshot: str
