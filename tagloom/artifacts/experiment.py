"""An experiment: one run of the pipeline, and the names of what it made."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from tagloom.artifacts.base import Manifest, Record

__all__ = ["Experiment", "Outcome"]


class Outcome(Record):
    """What became of one cell of the grid."""

    label: str
    """start and augmentation, for people"""
    run: str
    """`runs/{id}`"""
    evaluation: str
    """`evaluations/{id}`"""
    best_snapshot: str
    """`runs/{id}/snapshots/{kimg}` with the best kernel distance"""
    kernel_distance: float
    """of that snapshot"""
    gate_passed: bool
    gate_sentence: str
    alarms: tuple[str, ...] = ()
    """what the training warned of, a sentence each"""


class Experiment(Manifest):
    """What `experiments/<id>/experiment.json` says; rewritten as the experiment goes on."""

    id: str
    create_time: datetime
    update_time: datetime
    state: Literal["running", "succeeded", "failed"]
    inputs_sha256: str
    """of the experiment file's meaning and of the photos' listing: equal inputs need no new run"""
    salt: str = ""
    """part of every id; `--fresh` draws a new one"""
    collection: str = ""
    """`collections/{id}`"""
    dataset: str = ""
    """`datasets/{id}`"""
    outcomes: tuple[Outcome, ...] = ()
    """one a cell, in the order of the grid; of a failed experiment, one a cell that was scored"""
    error: str = ""
    """why it failed, one sentence"""
