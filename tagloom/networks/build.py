"""One call from settings to a network with fresh weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tagloom.errors import InvalidArgument
from tagloom.networks.spec import (
    Architecture,
    BlockArchitecture,
    DiscriminatorSpec,
    GeneratorSpec,
    StyleGAN2Spec,
    StyleGAN3Spec,
)

if TYPE_CHECKING:  # a spec can be made, by a server that checks a request, without PyTorch
    from torch import Tensor, nn

__all__ = [
    "build_discriminator",
    "build_from_spec",
    "build_generator",
    "discriminator_spec",
    "generator_spec",
    "parameter_count",
]


def generator_spec(
    architecture: Architecture,
    *,
    resolution: int,
    z_dim: int = 512,
    w_dim: int = 512,
    c_dim: int = 0,
    img_channels: int = 3,
    channel_base: int | None = None,
    channel_max: int | None = None,
    mapping_layers: int | None = None,
    magnitude_ema_beta: float = 0.999,
    block_architecture: BlockArchitecture = "skip",
    conv_clamp: float | None = 256.0,
) -> GeneratorSpec:
    """The spec of a generator, with the official default of everything left out.

    architecture: "stylegan3-t" (translation), "stylegan3-r" (rotation: 1x1 convolutions, radial
        filters, twice the channels) or "stylegan2".
    resolution: side of the image in pixels, a power of two, at least 16 for StyleGAN3.
    channel_base, channel_max: channels are min(channel_base / size, channel_max) (StyleGAN3: by
        cutoff frequency). Defaults 32768 and 512; stylegan3-r 65536 and 1024. A value given is
        used as it is, for stylegan3-r too.
    mapping_layers: default 2 for StyleGAN3, 8 for StyleGAN2.
    magnitude_ema_beta: StyleGAN3's input-magnitude average, per pass; training uses
        0.5 ** (batch / 20000).
    block_architecture: StyleGAN2 only.
    Raises InvalidArgument if a setting is not possible.
    """
    if architecture in ("stylegan3-t", "stylegan3-r"):
        radial = architecture == "stylegan3-r"
        return StyleGAN3Spec(
            architecture=architecture,
            resolution=resolution,
            z_dim=z_dim,
            w_dim=w_dim,
            c_dim=c_dim,
            img_channels=img_channels,
            channel_base=channel_base or (65536 if radial else 32768),
            channel_max=channel_max or (1024 if radial else 512),
            mapping_layers=mapping_layers or 2,
            conv_kernel=1 if radial else 3,
            use_radial_filters=radial,
            magnitude_ema_beta=magnitude_ema_beta,
            conv_clamp=conv_clamp,
        )
    if architecture == "stylegan2":
        return StyleGAN2Spec(
            resolution=resolution,
            z_dim=z_dim,
            w_dim=w_dim,
            c_dim=c_dim,
            img_channels=img_channels,
            channel_base=channel_base or 32768,
            channel_max=channel_max or 512,
            mapping_layers=mapping_layers or 8,
            block_architecture=block_architecture,
            conv_clamp=conv_clamp,
        )
    raise InvalidArgument(
        f"architecture {architecture!r} is not known; "
        "choose stylegan3-t, stylegan3-r or stylegan2.",
        reason="ARCHITECTURE_UNKNOWN",
        architecture=architecture,
    )


def discriminator_spec(
    *,
    resolution: int,
    c_dim: int = 0,
    img_channels: int = 3,
    channel_base: int = 32768,
    channel_max: int = 512,
    mbstd_group_size: int | None = 4,
    block_architecture: BlockArchitecture = "resnet",
    conv_clamp: float | None = 256.0,
    freeze_layers: int = 0,
) -> DiscriminatorSpec:
    """The spec of the discriminator (the same for all generators), official defaults.

    mbstd_group_size: samples that share a minibatch standard deviation; None: the whole batch.
    freeze_layers: so many layers, counted from the image, do not train (Freeze-D).
    """
    return DiscriminatorSpec(
        resolution=resolution,
        c_dim=c_dim,
        img_channels=img_channels,
        channel_base=channel_base,
        channel_max=channel_max,
        mbstd_group_size=mbstd_group_size,
        block_architecture=block_architecture,
        conv_clamp=conv_clamp,
        freeze_layers=freeze_layers,
    )


def build_from_spec(spec: GeneratorSpec | DiscriminatorSpec) -> nn.Module:
    """The network that `spec` describes, with fresh weights from torch's global generator."""
    # Imported here: nobody waits for an architecture (and its filters' SciPy) without need.
    if isinstance(spec, StyleGAN3Spec):
        from tagloom.networks.stylegan3 import StyleGAN3Generator

        return StyleGAN3Generator(spec)
    if isinstance(spec, StyleGAN2Spec):
        from tagloom.networks.stylegan2 import StyleGAN2Generator

        return StyleGAN2Generator(spec)
    from tagloom.networks.discriminator import Discriminator

    return Discriminator(spec)


def build_generator(architecture: Architecture, *, resolution: int, **settings: Any) -> nn.Module:
    """A generator with fresh weights; settings as in `generator_spec`; `.spec` is its spec.

    Call: `G(z_NZ, c_NC, truncation_psi=1.0, truncation_cutoff=None, update_emas=False,
    noise_mode="const") -> img_NCHW`, `G.mapping(z_NZ, c_NC, ...) -> ws_NLW`,
    `G.synthesis(ws_NLW, update_emas=False, noise_mode="const") -> img_NCHW`. Images are about
    [-1, 1]. c_NC may be None if c_dim is 0. `G.num_ws` is L.
    """
    return build_from_spec(generator_spec(architecture, resolution=resolution, **settings))


def build_discriminator(*, resolution: int, **settings: Any) -> nn.Module:
    """A discriminator with fresh weights; settings as in `discriminator_spec`.

    Call: `D(img_NCHW, c_NC) -> logits_N1`. c_NC may be None if c_dim is 0.
    """
    return build_from_spec(discriminator_spec(resolution=resolution, **settings))


def parameter_count(network: nn.Module) -> int:
    """Number of trainable and frozen parameters (buffers not counted)."""
    parameters: list[Tensor] = list(network.parameters())
    return sum(p.numel() for p in parameters)
