"""A run: one training, its snapshots and its history."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import model_validator

from tagloom.artifacts.base import Manifest, Record

__all__ = [
    "Alarm",
    "AlarmKind",
    "Augment",
    "AugmentPipeName",
    "Config",
    "GammaTrial",
    "Progress",
    "Run",
    "RunState",
    "Snapshot",
    "Tick",
    "TrainingOptions",
    "TrainingScore",
    "TransferPart",
]

Config = Literal["stylegan3-t", "stylegan3-r", "stylegan2"]
Augment = Literal["ada", "fixed", "none"]
AugmentPipeName = Literal[
    "blit", "geom", "color", "filter", "noise", "cutout", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc"
]
"""what the augmentation may do, by the names of the ADA paper"""
AlarmKind = Literal["mode_collapse", "discriminator_overfitting", "runaway_p", "not_finite"]
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
    freeze_d: int = 0
    path_length_weight: float = 0.0
    path_length_interval: int = 4
    style_mixing: float = 0.0
    blur_sigma: float = 0.0
    blur_fade_kimg: float = 0.0
    r1_interval: int = 16
    ada_interval: int = 4
    augment_pipe: AugmentPipeName = "bgc"
    num_layers: int = 0
    """0: the architecture has no such number"""
    margin_size: int = 0
    mbstd_group: int = 4
    conv_clamp: float = 256.0
    """0: no clamp"""
    adam_beta1: float = 0.0
    adam_beta2: float = 0.99
    adam_epsilon: float = 1e-8
    bad_updates_limit: int = 10
    patience: int = 0
    score_samples: int = 0
    """0: snapshots are not scored"""
    keep_states: int = 2
    keep_snapshots: int = 0
    """0: all"""
    gamma_auto: bool = False
    gamma_trial_kimg: float = 0.0
    micro_batch: int = 0
    """0: the whole batch"""
    mixed_precision: bool = False
    """convolutions in bfloat16, but for R1 and path lengths"""
    conditional: bool = False
    """on the labels of the dataset"""

    @model_validator(mode="before")
    @classmethod
    def _written_before_these_were_options(cls, values: Any) -> Any:
        """Runs of the first version trained with constants, which depended on the architecture."""
        if not isinstance(values, dict) or "path_length_weight" in values:
            return values
        constants: dict[str, float] = {}
        if values.get("config") == "stylegan2":
            constants = {"path_length_weight": 2.0, "style_mixing": 0.9}
        if values.get("config") == "stylegan3-r" and values.get("ema_rampup") is not None:
            fade = values.get("batch", 32) * 200 / 32
            constants = {"blur_sigma": 10.0, "blur_fade_kimg": fade}
        return constants | values


class TransferPart(Record):
    """What a network of a run took over from its start network; names are the run's."""

    network: Literal["G", "D"]
    tensors: int
    copied: int
    adapted: tuple[str, ...] = ()
    """computed from the start's, because its labels were left out, or labels came in"""
    fresh: tuple[str, ...] = ()
    """begun at random"""
    parameters: int
    parameters_taken: int


class Alarm(Record):
    """Something that a person should look at. A run has at most one of each kind."""

    kind: AlarmKind
    message: str
    active: bool
    """at the last tick"""
    first_kimg: float
    last_kimg: float


class TrainingScore(Record):
    """A generator's kernel distance from real images, taken while its run trains."""

    metric: str
    value: float
    low: float
    high: float
    generated: int
    real: int
    held_out: bool


class GammaTrial(Record):
    """A short training at one value of r1_gamma."""

    r1_gamma: float
    kimg: float
    score: TrainingScore
    chosen: bool = False


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
    transfer: tuple[TransferPart, ...] = ()
    """G and D, where there is a start network; from the first attempt on"""
    gamma_trials: tuple[GammaTrial, ...] = ()
    patience_from_kimg: float = 0.0
    """where the run was last asked to go on for longer: patience begins anew there"""
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
    updates_left_out: int = 0
    """because their gradient was not finite"""
    alarms: tuple[Alarm, ...] = ()
    best_snapshot: str = ""
    """`runs/{id}/snapshots/{kimg}`; empty where snapshots are not scored"""
    snapshot_score: float | None = None
    """of the last snapshot"""
    snapshot_time: datetime | None = None
    score_rises: int = 0
    """how many of the last snapshots, in a row, have a worse score than the one before"""
    phase: str = ""
    message: str = ""
    update_time: datetime
    fence: int = 0


class Tick(Record):
    """A line of history.jsonl: means over the good updates since the previous tick.

    None: there was no such update, or what it measures is not part of the training.
    """

    kimg: float
    time: datetime
    seconds_per_kimg: float
    g_loss: float | None = None
    d_loss: float | None = None
    r1_penalty: float | None = None
    """squared gradient of D at real images, before gamma / 2"""
    path_penalty: float | None = None
    """StyleGAN2: squared deviation of the path lengths, before its weight"""
    real_score: float | None = None
    fake_score: float | None = None
    real_sign: float | None = None
    """mean sign of the real scores, -1 to 1: what ADA keeps at its target"""
    fake_sign: float | None = None
    augment_p: float
    g_gradient_norm: float | None = None
    d_gradient_norm: float | None = None
    peak_memory: int
    """bytes of the process's own, resident"""
    gpu_peak_memory: int | None = None
    """most bytes that tensors took on the GPU since the previous tick; None: no GPU"""
    gpu_free_memory: int | None = None
    """bytes of the GPU that nobody uses, at the tick"""
    gpu_total_memory: int | None = None
    """bytes"""
    diversity: float | None = None
    """mean distance between samples over that between training images; None: not measured"""
    overfitting: float | None = None
    """how far D tells held-out from training images, 0 to 1; None: not measured"""
    updates_left_out: int = 0
    alarms: tuple[AlarmKind, ...] = ()


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
    score: TrainingScore | None = None
