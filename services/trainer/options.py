"""From what was asked for to a run with every value filled in, or one clear error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar, cast, get_args

from services.trainer.ranges import check_ranges, refuse
from services.trainer.specs import check_start, network_specs
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.dataset import Dataset
from tagloom.artifacts.labels import dataset_labels
from tagloom.artifacts.run import Augment, AugmentPipeName, Config, Run, TrainingOptions
from tagloom.errors import FailedPrecondition
from tagloom.networks.catalog import CatalogEntry, open_network
from tagloom.store.interface import Store

__all__ = ["RequestedOptions", "plan_run"]

N = TypeVar("N", int, float)

MBSTD_GROUP = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedOptions:
    """`TrainingOptions` of the API: None (or 0 where that means nothing) takes the default."""

    config: Config | None = None
    kimg: float = 0.0
    batch: int = 0
    r1_gamma: float | None = None
    g_learning_rate: float | None = None
    d_learning_rate: float | None = None
    augment: Augment | None = None
    ada_target: float = 0.0
    ada_kimg: float = 0.0
    augment_p: float | None = None
    ema_kimg: float = 0.0
    mirror: bool = False
    seed: int = 0
    channel_base: int = 0
    channel_max: int = 0
    latent_size: int = 0
    mapping_layers: int = 0
    snapshot_kimg: float = 0.0
    tick_kimg: float = 0.0
    samples: int = 0
    freeze_d: int = 0
    ema_rampup: float | None = None
    path_length_weight: float | None = None
    path_length_interval: int = 0
    style_mixing: float | None = None
    blur_sigma: float | None = None
    blur_fade_kimg: float = 0.0
    r1_interval: int = 0
    ada_interval: int = 0
    augment_pipe: str = ""
    num_layers: int = 0
    margin_size: int | None = None
    mbstd_group: int = 0
    conv_clamp: float | None = None
    adam_beta1: float | None = None
    adam_beta2: float | None = None
    adam_epsilon: float = 0.0
    bad_updates_limit: int = 0
    micro_batch: int = 0
    patience: int = 0
    score_samples: int = 0
    keep_states: int = 0
    keep_snapshots: int = 0
    gamma_auto: bool = False
    gamma_trial_kimg: float = 0.0
    mixed_precision: bool = False
    conditional: bool = False


def plan_run(
    store: Store, run_id: str, dataset_name: str, start: str, requested: RequestedOptions
) -> Run:
    """The run as it will be trained: options checked, defaults filled in, networks described.

    Raises InvalidArgument or FailedPrecondition naming the option, the values and what to do;
    NotFound if the dataset or the start network does not exist.
    """
    layout.check_id(run_id, "run_id")
    (dataset_id,) = layout.parse_name(dataset_name, "datasets/{}")
    dataset = Dataset.load(store, layout.dataset_manifest(dataset_id), dataset_name)
    entry = open_network(store, start) if start else None
    resolution = dataset.image_size
    options = _fill(requested, resolution, entry)
    check_ranges(options)
    if options.batch > dataset.train:
        raise FailedPrecondition(
            f"{dataset_name} has {dataset.train} training images, fewer than a batch of "
            f"{options.batch}: choose a batch of at most {dataset.train}, or filter more images "
            "into the dataset.",
            reason="DATASET_TOO_SMALL",
            images=dataset.train,
            batch=options.batch,
        )
    c_dim = _label_size(store, dataset) if options.conditional else 0
    g_spec, d_spec = network_specs(requested, options, resolution, c_dim, entry)
    time = now()
    return Run(
        id=run_id,
        create_time=time,
        update_time=time,
        state="queued",
        message="Accepted; waiting for its turn.",
        dataset=dataset_name,
        dataset_sha256=dataset.content_sha256,
        start=start,
        options=options,
        resolution=resolution,
        generator=g_spec.to_json(),
        discriminator=d_spec.to_json(),
    )


def _fill(
    requested: RequestedOptions, resolution: int, entry: CatalogEntry | None
) -> TrainingOptions:
    transfer = entry is not None
    start_config = entry.network.architecture if entry else None
    config: Config = requested.config or _known_config(start_config) or "stylegan3-t"
    if entry is not None:
        check_start(entry, config)
    g_start: dict[str, Any] = entry.network.generator if entry else {}
    d_start: dict[str, Any] = (entry.network.discriminator or {}) if entry else {}
    batch = requested.batch or 32
    # A wrong batch is refused by `check_ranges`, by its own name.
    gamma = 0.0002 * resolution**2 / max(batch, 1)
    return TrainingOptions(
        config=config,
        kimg=requested.kimg,
        batch=batch,
        r1_gamma=_or(requested.r1_gamma, gamma),
        g_learning_rate=_or(requested.g_learning_rate, 0.002 if _is_2(config) else 0.0025),
        d_learning_rate=_or(requested.d_learning_rate, 0.002),
        augment=requested.augment or "ada",
        ada_target=requested.ada_target or 0.6,
        ada_kimg=requested.ada_kimg or (100 if transfer else 500),
        augment_p=_or(requested.augment_p, 0.2),
        ema_kimg=requested.ema_kimg or max(batch, 1) * 10 / 32,
        ema_rampup=_or(requested.ema_rampup, 0.0 if transfer else 0.05) or None,
        mirror=requested.mirror,
        seed=requested.seed,
        channel_base=requested.channel_base or int(d_start.get("channel_base", 32768)),
        channel_max=requested.channel_max or int(d_start.get("channel_max", 512)),
        latent_size=requested.latent_size or int(g_start.get("z_dim", 512)),
        mapping_layers=requested.mapping_layers
        or int(g_start.get("mapping_layers", 8 if _is_2(config) else 2)),
        snapshot_kimg=requested.snapshot_kimg or requested.kimg / 10,
        tick_kimg=requested.tick_kimg or requested.kimg / 100,
        samples=requested.samples or 16,
        freeze_d=requested.freeze_d,
        path_length_weight=_or(requested.path_length_weight, 2.0 if _is_2(config) else 0.0),
        path_length_interval=requested.path_length_interval or 4,
        style_mixing=_or(requested.style_mixing, 0.9 if _is_2(config) else 0.0),
        # The blur keeps D from fixing details early on; a trained start network needs none.
        blur_sigma=_or(
            requested.blur_sigma, 10.0 if config == "stylegan3-r" and not transfer else 0.0
        ),
        blur_fade_kimg=requested.blur_fade_kimg or max(batch, 1) * 200 / 32,
        r1_interval=requested.r1_interval or 16,
        ada_interval=requested.ada_interval or 4,
        augment_pipe=_pipe_name(requested.augment_pipe),
        num_layers=requested.num_layers
        or int(g_start.get("num_layers", 0 if _is_2(config) else 14)),
        margin_size=_or(
            requested.margin_size, int(g_start.get("margin_size", 0 if _is_2(config) else 10))
        ),
        mbstd_group=requested.mbstd_group
        or int(d_start.get("mbstd_group_size", MBSTD_GROUP) or max(batch, 1)),
        conv_clamp=_or(requested.conv_clamp, _clamp(d_start)),
        adam_beta1=_or(requested.adam_beta1, 0.0),
        adam_beta2=_or(requested.adam_beta2, 0.99),
        adam_epsilon=requested.adam_epsilon or 1e-8,
        bad_updates_limit=requested.bad_updates_limit or 10,
        micro_batch=requested.micro_batch,
        patience=requested.patience,
        score_samples=requested.score_samples
        or (500 if requested.patience or requested.keep_snapshots or requested.gamma_auto else 0),
        keep_states=requested.keep_states or 2,
        keep_snapshots=requested.keep_snapshots,
        gamma_auto=requested.gamma_auto,
        gamma_trial_kimg=requested.gamma_trial_kimg
        or (max(requested.kimg / 20, batch / 1000) if requested.gamma_auto else 0.0),
        mixed_precision=requested.mixed_precision,
        conditional=requested.conditional,
    )


def _label_size(store: Store, dataset: Dataset) -> int:
    """Numbers of a label of the dataset, which must have labels."""
    labels = dataset_labels(store, dataset)
    if labels is None:
        raise FailedPrecondition(
            "conditional training (--cond) needs a label for each image, but "
            f"datasets/{dataset.id} has none: leave conditional out, or train on a dataset whose "
            "images come with labels in their dataset.json.",
            reason="DATASET_UNLABELLED",
            resource=f"datasets/{dataset.id}",
        )
    return labels.size


def _or(value: N | None, default: N) -> N:
    return default if value is None else value


def _pipe_name(name: str) -> AugmentPipeName:
    for known in get_args(AugmentPipeName):
        if name == known:
            return cast(AugmentPipeName, known)
    if name:
        refuse("augment_pipe", repr(name), f"one of {', '.join(get_args(AugmentPipeName))}")
    return "bgc"


def _clamp(d_start: dict[str, Any]) -> float:
    """conv_clamp of the start network; 0 where it has none."""
    return float(d_start.get("conv_clamp", 256.0) or 0.0)


def _is_2(config: str) -> bool:
    return config == "stylegan2"


def _known_config(architecture: str | None) -> Config | None:
    configs: dict[str, Config] = {
        "stylegan3-t": "stylegan3-t",
        "stylegan3-r": "stylegan3-r",
        "stylegan2": "stylegan2",
    }
    return configs.get(architecture or "")
