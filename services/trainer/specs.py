"""Which networks a run trains: those of its start, or new ones of the sizes asked for."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from services.trainer.ranges import refuse
from tagloom.artifacts.run import Config, TrainingOptions
from tagloom.errors import FailedPrecondition, InvalidArgument
from tagloom.networks.build import discriminator_spec, generator_spec
from tagloom.networks.catalog import CatalogEntry
from tagloom.networks.spec import DiscriminatorSpec, GeneratorSpec, StyleGAN3Spec

if TYPE_CHECKING:
    from services.trainer.options import RequestedOptions

# As in `augment`, which the server does not load: it needs PyTorch.
BAND_FILTER_PIPES = ("filter", "bgcf", "bgcfn", "bgcfnc")
BAND_FILTER_REACH = 21
"""pixels to each side"""

__all__ = ["check_start", "freezable_layers", "magnitude_ema_beta", "network_specs"]


def magnitude_ema_beta(batch: int) -> float:
    """How much of StyleGAN3's running input magnitude a step keeps: a half-life of 20 kimg."""
    return math.pow(0.5, batch / 20_000)


def check_start(entry: CatalogEntry, config: Config) -> None:
    """Whether a run of `config` can start from the network.

    Any resolution will do, and any labels: what does not fit starts fresh.
    """
    network = entry.network
    if network.architecture != config:
        raise InvalidArgument(
            f"{entry.name} is a {network.architecture} network, but the run trains {config}: "
            f"choose the config {network.architecture}, or another start network.",
            reason="START_ARCHITECTURE_DIFFERS",
            start=network.architecture,
            config=config,
        )
    if network.discriminator is None:
        raise FailedPrecondition(
            f"{entry.name} has no discriminator, so it can generate but not be trained from.",
            reason="NETWORK_PART_MISSING",
            resource=entry.name,
        )
    channels = network.generator.get("img_channels", 3)
    if channels != 3:
        raise FailedPrecondition(
            f"{entry.name} has img_channels = {channels}, but the images of datasets have three: "
            "choose an RGB network.",
            reason="START_NETWORK_UNSUITABLE",
            resource=entry.name,
        )


def network_specs(
    requested: RequestedOptions,
    options: TrainingOptions,
    resolution: int,
    c_dim: int,
    entry: CatalogEntry | None,
) -> tuple[GeneratorSpec, DiscriminatorSpec]:
    """Generator and discriminator of the run, for images of `resolution` and labels of `c_dim`.

    c_dim: 0 without labels.
    Raises InvalidArgument when a size is asked for that the start network does not have, or layers
    to freeze that are not there.
    """
    clamp = options.conv_clamp or None
    _check_pipe(options, resolution)
    if entry is None:
        g_spec, d_spec = _fresh_specs(options, resolution, c_dim, clamp)
        if options.freeze_d:
            refuse("freeze_d", options.freeze_d, "left out or 0 without a start network")
    else:
        _check_capacity(requested, entry)
        changes: dict[str, Any] = {"resolution": resolution, "c_dim": c_dim}
        if requested.conv_clamp is not None:
            changes["conv_clamp"] = clamp
        g_spec = dataclasses.replace(entry.generator_spec, **changes)
        d_spec = dataclasses.replace(_discriminator(entry), **changes)
        if requested.mbstd_group:
            d_spec = dataclasses.replace(d_spec, mbstd_group_size=requested.mbstd_group)
        _check_freeze(options, resolution, entry, d_spec)
    if isinstance(g_spec, StyleGAN3Spec):
        beta = magnitude_ema_beta(options.batch)
        g_spec = dataclasses.replace(g_spec, magnitude_ema_beta=beta)
    return g_spec, dataclasses.replace(d_spec, freeze_layers=options.freeze_d)


def _check_pipe(options: TrainingOptions, resolution: int) -> None:
    """The band filters mirror the image at its borders, once: it must be larger than they reach."""
    filters = options.augment != "none" and options.augment_pipe in BAND_FILTER_PIPES
    if filters and resolution <= BAND_FILTER_REACH:
        refuse(
            "augment_pipe",
            repr(options.augment_pipe),
            f"one without its filter group, which needs images of more than {BAND_FILTER_REACH} "
            f"px, not {resolution}: blit, geom, color, bg or bgc",
        )


def freezable_layers(spec: DiscriminatorSpec) -> int:
    """Layers of the discriminator above 4 px, which Freeze-D can count."""
    blocks = spec.resolution.bit_length() - 3
    if spec.block_architecture == "skip":
        return 3 * blocks  # each with its own layer from the colours
    return (3 if spec.block_architecture == "resnet" else 2) * blocks + 1


def _fresh_specs(
    options: TrainingOptions, resolution: int, c_dim: int, clamp: float | None
) -> tuple[GeneratorSpec, DiscriminatorSpec]:
    radial = 2 if options.config == "stylegan3-r" else 1  # as the paper's configuration R
    g_spec = generator_spec(
        options.config,
        resolution=resolution,
        z_dim=options.latent_size,
        w_dim=options.latent_size,
        c_dim=c_dim,
        channel_base=options.channel_base * radial,
        channel_max=options.channel_max * radial,
        mapping_layers=options.mapping_layers,
        conv_clamp=clamp,
    )
    if isinstance(g_spec, StyleGAN3Spec):
        if options.num_layers <= g_spec.num_critical:
            refuse("num_layers", options.num_layers, f"at least {g_spec.num_critical + 1}")
        g_spec = dataclasses.replace(
            g_spec, num_layers=options.num_layers, margin_size=options.margin_size
        )
    elif options.num_layers or options.margin_size:
        name = "num_layers" if options.num_layers else "margin_size"
        wanted = "left out, because stylegan2 has a layer for each resolution and no margin"
        refuse(name, getattr(options, name), wanted)
    d_spec = discriminator_spec(
        resolution=resolution,
        c_dim=c_dim,
        channel_base=options.channel_base,
        channel_max=options.channel_max,
        mbstd_group_size=options.mbstd_group,
        conv_clamp=clamp,
    )
    return g_spec, d_spec


def _discriminator(entry: CatalogEntry) -> DiscriminatorSpec:
    return DiscriminatorSpec.from_json(entry.network.discriminator or {})


def _check_capacity(requested: RequestedOptions, entry: CatalogEntry) -> None:
    """Sizes come with the start network: asking for others is a misunderstanding."""
    g_spec, d_spec = entry.generator_spec, _discriminator(entry)
    has = {
        "channel_base": d_spec.channel_base,
        "channel_max": d_spec.channel_max,
        "latent_size": g_spec.z_dim,
        "mapping_layers": g_spec.mapping_layers,
        "num_layers": g_spec.num_layers if isinstance(g_spec, StyleGAN3Spec) else 0,
        "margin_size": g_spec.margin_size if isinstance(g_spec, StyleGAN3Spec) else 0,
    }
    for name, value in has.items():
        asked = getattr(requested, name)
        if asked is not None and asked != value and (asked or name == "margin_size"):
            raise InvalidArgument(
                f"{name} is {asked}, but {entry.name} has {value}: leave {name} out, or start "
                "from another network.",
                reason="START_CAPACITY_DIFFERS",
                option=name,
                asked=asked,
                start=value,
            )


def _check_freeze(
    options: TrainingOptions, resolution: int, entry: CatalogEntry, d_spec: DiscriminatorSpec
) -> None:
    if not options.freeze_d:
        return
    most = freezable_layers(d_spec)
    if options.freeze_d > most:
        refuse("freeze_d", options.freeze_d, f"from 0 to {most}, the layers above 4 px")
    if entry.network.resolution != resolution:
        refuse(
            "freeze_d",
            options.freeze_d,
            f"left out or 0, because {entry.name} was trained at {entry.network.resolution} px and "
            f"the first layers for {resolution} px are new",
        )
