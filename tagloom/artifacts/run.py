"""A run: one training, its snapshots and its history."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from tagloom.artifacts.base import Manifest, Record

__all__ = [
    "Augment",
    "Config",
    "Progress",
    "Run",
    "RunState",
    "Snapshot",
    "Tick",
    "TrainingOptions",
]

Config = Literal["stylegan3-t", "stylegan3-r", "stylegan2"]
Augment = Literal["ada", "fixed", "none"]
RunState = Literal["queued", "running", "succeeded", "failed", "stopped"]


class TrainingOptions(Record):
    """How a run trains, every default filled in (see trainer.proto for meanings)."""

    config: Config
    kimg: float
    batch: int
    r1_gamma: float
    g_learning_rate: float
    d_learning_rate: float
    augment: Augment
    ada_target: float
    ada_kimg: float
    augment_p: float
    """fixed augmentation's p"""
    ema_kimg: float
    ema_rampup: float | None
    """None: no ramp-up (transfer)"""
    mirror: bool
    seed: int
    channel_base: int
    channel_max: int
    latent_size: int
    mapping_layers: int
    snapshot_kimg: float
    tick_kimg: float
    samples: int


class Run(Manifest):
    """`runs/<id>/run.json`: what was asked for, and what became of it."""

    id: str
    create_time: datetime
    update_time: datetime
    state: RunState
    message: str = ""
    dataset: str
    """`datasets/{id}`"""
    dataset_sha256: str
    start: str = ""
    """`networks/{id}`, `runs/{id}/snapshots/{kimg}`, or empty"""
    options: TrainingOptions
    resolution: int
    generator: dict[str, Any]
    discriminator: dict[str, Any]
    operation: str = ""
    """`operations/trainer.{id}` that trains it, or did so last"""
    attempts: int = 0
    fence: int = 0


class Progress(Manifest):
    """`runs/<id>/progress.json`: how far it came."""

    images_seen: int
    """steps x batch"""
    steps: int
    seconds: float
    """of training, over all attempts"""
    g_parameter_change: float = 0.0
    """root mean square, over parameter tensors, of |now - start| / |start|"""
    d_parameter_change: float = 0.0
    phase: str = ""
    message: str = ""
    update_time: datetime
    fence: int = 0


class Tick(Record):
    """A line of history.jsonl: means over the steps since the previous tick."""

    kimg: float
    time: datetime
    seconds_per_kimg: float
    g_loss: float
    d_loss: float
    r1_penalty: float
    real_score: float
    fake_score: float
    real_sign: float
    augment_p: float
    g_gradient_norm: float
    d_gradient_norm: float
    peak_memory: int
    """bytes"""


class Snapshot(Manifest):
    """`runs/<id>/snapshots/<kimg>/manifest.json`."""

    run: str
    """`runs/{id}`"""
    id: str
    """kimg as `layout.snapshot_id` writes it"""
    create_time: datetime
    kimg: float
    architecture: str
    resolution: int
    generator: dict[str, Any]
    discriminator: dict[str, Any]
    weights_sha256: str
