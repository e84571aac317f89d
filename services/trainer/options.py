"""From what was asked for to a run with every value filled in, or one clear error."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, NoReturn

from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.dataset import Dataset
from tagloom.artifacts.run import Augment, Config, Run, TrainingOptions
from tagloom.errors import FailedPrecondition, InvalidArgument
from tagloom.networks.build import discriminator_spec, generator_spec
from tagloom.networks.catalog import CatalogEntry, open_network
from tagloom.networks.spec import (
    DiscriminatorSpec,
    GeneratorSpec,
    StyleGAN3Spec,
    generator_spec_from_json,
)
from tagloom.store.interface import Store

__all__ = ["RequestedOptions", "magnitude_ema_beta", "plan_run"]

MBSTD_GROUP = 4
_MAX_SAMPLES = 256
_MAX_BATCH = 65536


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


def magnitude_ema_beta(batch: int) -> float:
    """How much of StyleGAN3's running input magnitude a step keeps: a half-life of 20 kimg."""
    return math.pow(0.5, batch / 20_000)


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
    _check(options)
    if options.batch > dataset.train:
        raise FailedPrecondition(
            f"{dataset_name} has {dataset.train} training images, fewer than a batch of "
            f"{options.batch}: choose a batch of at most {dataset.train}, or filter more images "
            "into the dataset.",
            reason="DATASET_TOO_SMALL",
            images=dataset.train,
            batch=options.batch,
        )
    g_spec, d_spec = _specs(requested, options, resolution, entry)
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
        _check_start(entry, config, resolution)
    g_start: dict[str, Any] = entry.network.generator if entry else {}
    d_start: dict[str, Any] = (entry.network.discriminator or {}) if entry else {}
    batch = requested.batch or 32
    # A wrong batch is refused in _check, by its own name.
    gamma = 0.0002 * resolution**2 / max(batch, 1)
    return TrainingOptions(
        config=config,
        kimg=requested.kimg,
        batch=batch,
        r1_gamma=requested.r1_gamma or gamma,
        g_learning_rate=_or(requested.g_learning_rate, 0.002 if _is_2(config) else 0.0025),
        d_learning_rate=_or(requested.d_learning_rate, 0.002),
        augment=requested.augment or "ada",
        ada_target=requested.ada_target or 0.6,
        ada_kimg=requested.ada_kimg or (100 if transfer else 500),
        augment_p=_or(requested.augment_p, 0.2),
        ema_kimg=requested.ema_kimg or max(batch, 1) * 10 / 32,
        ema_rampup=None if transfer else 0.05,
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
    )


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _is_2(config: str) -> bool:
    return config == "stylegan2"


def _known_config(architecture: str | None) -> Config | None:
    configs: dict[str, Config] = {
        "stylegan3-t": "stylegan3-t",
        "stylegan3-r": "stylegan3-r",
        "stylegan2": "stylegan2",
    }
    return configs.get(architecture or "")


def _check(options: TrainingOptions) -> None:
    """Ranges that hold whatever the dataset is."""
    for name, value in options.model_dump().items():
        if isinstance(value, float) and not math.isfinite(value):
            _refuse(name, value, "a finite number")
    positive = ("kimg", "ada_kimg", "ema_kimg", "snapshot_kimg", "tick_kimg")
    for name in positive:
        if not getattr(options, name) > 0:
            _refuse(name, getattr(options, name), "above 0 (thousands of images)")
    if options.kimg >= 1e6:
        _refuse("kimg", options.kimg, "below 1000000")
    if not 1 <= options.batch <= _MAX_BATCH:
        _refuse("batch", options.batch, f"from 1 to {_MAX_BATCH}")
    if options.batch > MBSTD_GROUP and options.batch % MBSTD_GROUP:
        nearest = options.batch // MBSTD_GROUP * MBSTD_GROUP
        _refuse(
            "batch",
            options.batch,
            f"a multiple of {MBSTD_GROUP}, because D compares images in groups of {MBSTD_GROUP} "
            f"(the nearest are {nearest} and {nearest + MBSTD_GROUP})",
        )
    if options.kimg * 1000 < options.batch:
        _refuse("kimg", options.kimg, f"at least one batch, {options.batch / 1000:g}")
    for name in ("r1_gamma", "g_learning_rate", "d_learning_rate"):
        if getattr(options, name) < 0:
            _refuse(name, getattr(options, name), "at least 0")
    if not 0 <= options.augment_p <= 1:
        _refuse("augment_p", options.augment_p, "from 0 to 1")
    if not -1 <= options.ada_target <= 1:
        _refuse("ada_target", options.ada_target, "from -1 to 1")
    if not 1 <= options.samples <= _MAX_SAMPLES:
        _refuse("samples", options.samples, f"from 1 to {_MAX_SAMPLES}")
    for name in ("channel_base", "channel_max", "latent_size", "mapping_layers"):
        if getattr(options, name) < 1:
            _refuse(name, getattr(options, name), "at least 1")


def _refuse(name: str, value: object, wanted: str) -> NoReturn:
    raise InvalidArgument(
        f"{name} is {value}, but should be {wanted}.",
        reason="TRAINING_OPTION_INVALID",
        option=name,
        value=value,
    )


def _check_start(entry: CatalogEntry, config: Config, resolution: int) -> None:
    """Transfer learning continues a network; it does not convert one."""
    network = entry.network
    if network.architecture != config:
        raise InvalidArgument(
            f"{entry.name} is a {network.architecture} network, but the run trains {config}: "
            f"choose the config {network.architecture}, or another start network.",
            reason="START_ARCHITECTURE_DIFFERS",
            start=network.architecture,
            config=config,
        )
    if network.resolution != resolution:
        raise InvalidArgument(
            f"{entry.name} makes images of {network.resolution} px, but the dataset has images of "
            f"{resolution} px: filter with --resolution {network.resolution} "
            f"(or --tile-size), or choose a start network of {resolution} px.",
            reason="START_RESOLUTION_DIFFERS",
            start=network.resolution,
            dataset=resolution,
        )
    if network.discriminator is None:
        raise FailedPrecondition(
            f"{entry.name} has no discriminator, so it can generate but not be trained from.",
            reason="NETWORK_PART_MISSING",
            resource=entry.name,
        )
    for key, wanted in (("c_dim", 0), ("img_channels", 3)):
        if network.generator.get(key, wanted) != wanted:
            raise FailedPrecondition(
                f"{entry.name} has {key} = {network.generator[key]}, but datasets have no labels "
                "and three channels: choose an unconditional RGB network.",
                reason="START_NETWORK_UNSUITABLE",
                resource=entry.name,
            )


def _specs(
    requested: RequestedOptions,
    options: TrainingOptions,
    resolution: int,
    entry: CatalogEntry | None,
) -> tuple[GeneratorSpec, DiscriminatorSpec]:
    if entry is not None:
        g_spec = generator_spec_from_json(entry.network.generator)
        d_spec = DiscriminatorSpec.from_json(entry.network.discriminator or {})
        _check_capacity(requested, entry, g_spec, d_spec)
    else:
        radial = 2 if options.config == "stylegan3-r" else 1  # as the paper's configuration R
        g_spec = generator_spec(
            options.config,
            resolution=resolution,
            z_dim=options.latent_size,
            w_dim=options.latent_size,
            channel_base=options.channel_base * radial,
            channel_max=options.channel_max * radial,
            mapping_layers=options.mapping_layers,
        )
        d_spec = discriminator_spec(
            resolution=resolution,
            channel_base=options.channel_base,
            channel_max=options.channel_max,
            mbstd_group_size=MBSTD_GROUP,
        )
    if isinstance(g_spec, StyleGAN3Spec):
        beta = magnitude_ema_beta(options.batch)
        g_spec = dataclasses.replace(g_spec, magnitude_ema_beta=beta)
    return g_spec, d_spec


def _check_capacity(
    requested: RequestedOptions,
    entry: CatalogEntry,
    g_spec: GeneratorSpec,
    d_spec: DiscriminatorSpec,
) -> None:
    """Sizes come with the start network: asking for others is a misunderstanding."""
    has = {
        "channel_base": d_spec.channel_base,
        "channel_max": d_spec.channel_max,
        "latent_size": g_spec.z_dim,
        "mapping_layers": g_spec.mapping_layers,
    }
    for name, value in has.items():
        asked = getattr(requested, name)
        if asked and asked != value:
            raise InvalidArgument(
                f"{name} is {asked}, but {entry.name} has {value}: leave {name} out, or start "
                "from another network.",
                reason="START_CAPACITY_DIFFERS",
                option=name,
                asked=asked,
                start=value,
            )
