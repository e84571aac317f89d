"""What a network is made of, as plain values: enough to build it again, and nothing else.

A spec travels in a network's manifest as JSON. `from_json` refuses unknown or missing settings, so
a manifest written for another program version is a clear error and never a silently different
network.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self, TypeGuard

from tagloom.errors import InvalidArgument

__all__ = [
    "Architecture",
    "BlockArchitecture",
    "DiscriminatorSpec",
    "GeneratorSpec",
    "StyleGAN2Spec",
    "StyleGAN3Spec",
    "generator_spec_from_json",
]

Architecture = Literal["stylegan3-t", "stylegan3-r", "stylegan2"]
BlockArchitecture = Literal["orig", "skip", "resnet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spec:
    """What every network has: an image size, a number of labels, and JSON for both."""

    resolution: int  # side of the square image in pixels, a power of two
    c_dim: int = 0  # number of classes (one-hot labels); 0: unconditional
    img_channels: int = 3

    def __post_init__(self) -> None:
        _check_values(self)
        side = self.resolution
        if side < 4 or side & (side - 1):
            raise InvalidArgument(
                f"resolution {side} is not a power of two of at least 4; "
                "choose 16, 32, 64, 128, 256, 512 or 1024.",
                reason="RESOLUTION_INVALID",
                resolution=side,
            )

    def to_json(self) -> dict[str, object]:
        """All settings, those at their default too, as JSON-ready values."""
        return {
            field.name: list(value) if isinstance(value, tuple) else value
            for field in dataclasses.fields(self)
            for value in [getattr(self, field.name)]
        }

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> Self:
        """The inverse of `to_json`. Raises InvalidArgument for unknown, missing or wrong keys."""
        known = {field.name: field for field in dataclasses.fields(cls)}
        unknown = sorted(values.keys() - known.keys())
        missing = sorted(
            name
            for name, field in known.items()
            if name not in values and field.default is dataclasses.MISSING
        )
        if unknown or missing:
            raise InvalidArgument(
                f"the description of the network does not fit this version of Tagloom "
                f"(unknown settings: {unknown or 'none'}; missing: {missing or 'none'}); "
                "use the version that wrote it, or correct the settings.",
                reason="NETWORK_SPEC_INVALID",
                unknown=",".join(unknown),
                missing=",".join(missing),
            )
        return cls(
            **{
                name: tuple(value) if isinstance(value, list) else value
                for name, value in values.items()
            }  # type: ignore[arg-type]  # the values are checked against the fields on creation
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleGAN3Spec(_Spec):
    """A StyleGAN3 generator. Defaults: configuration T of the paper, at full capacity."""

    architecture: Literal["stylegan3-t", "stylegan3-r"] = "stylegan3-t"
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 2
    mapping_lr_multiplier: float = 0.01
    w_avg_beta: float = 0.998
    channel_base: int = 32768
    channel_max: int = 512
    num_layers: int = 14
    num_critical: int = 2
    first_cutoff: float = 2.0
    first_stopband: float = 2.0**2.1
    last_stopband_rel: float = 2.0**0.3
    margin_size: int = 10
    output_scale: float = 0.25
    conv_kernel: int = 3
    filter_size: int = 6
    lrelu_upsampling: int = 2
    use_radial_filters: bool = False
    conv_clamp: float | None = 256.0
    magnitude_ema_beta: float = 0.999

    minimum_resolution: ClassVar[int] = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleGAN2Spec(_Spec):
    """A StyleGAN2 generator. Defaults: the paper's configuration F (skip), at full capacity."""

    architecture: Literal["stylegan2"] = "stylegan2"
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    mapping_lr_multiplier: float = 0.01
    w_avg_beta: float = 0.998
    channel_base: int = 32768
    channel_max: int = 512
    block_architecture: BlockArchitecture = "skip"
    kernel_size: int = 3
    use_noise: bool = True
    activation: str = "lrelu"
    resample_filter: tuple[int, ...] = (1, 3, 3, 1)
    conv_clamp: float | None = 256.0

    minimum_resolution: ClassVar[int] = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscriminatorSpec(_Spec):
    """The StyleGAN2 discriminator, which StyleGAN3 uses unchanged."""

    block_architecture: BlockArchitecture = "resnet"
    channel_base: int = 32768
    channel_max: int = 512
    cmap_dim: int | None = None  # width of the label's embedding; None: channels at 4 px
    mapping_layers: int = 8
    mapping_lr_multiplier: float = 0.01
    mbstd_group_size: int | None = 4  # None: the whole batch
    mbstd_num_channels: int = 1
    activation: str = "lrelu"
    resample_filter: tuple[int, ...] = (1, 3, 3, 1)
    conv_clamp: float | None = 256.0
    freeze_layers: int = 0  # Freeze-D (arXiv 2002.10964): layers, from the image on, kept fixed

    minimum_resolution: ClassVar[int] = 8


GeneratorSpec = StyleGAN3Spec | StyleGAN2Spec


def generator_spec_from_json(values: Mapping[str, object]) -> GeneratorSpec:
    """The spec of any generator, chosen by its `architecture`.

    Raises InvalidArgument if the architecture is unknown or the settings do not fit it.
    """
    architecture = values.get("architecture")
    if architecture in ("stylegan3-t", "stylegan3-r"):
        return StyleGAN3Spec.from_json(values)
    if architecture == "stylegan2":
        return StyleGAN2Spec.from_json(values)
    raise InvalidArgument(
        f"architecture {architecture!r} is not known; "
        "choose stylegan3-t, stylegan3-r or stylegan2.",
        reason="ARCHITECTURE_UNKNOWN",
        architecture=architecture,
    )


def _check_values(spec: _Spec) -> None:
    """Raise InvalidArgument if a field has the wrong type or a value no network can have."""
    for name, hint in typing.get_type_hints(type(spec)).items():
        if typing.get_origin(hint) is ClassVar:
            continue
        value = getattr(spec, name)
        if not _fits(value, hint) or (_is_number(value) and not _in_range(name, value)):
            raise InvalidArgument(
                f"{name} = {value!r} is not a setting that a network can have "
                f"(expected: {_describe(hint)}); correct it.",
                reason="NETWORK_SPEC_INVALID",
                setting=name,
            )
    minimum = getattr(type(spec), "minimum_resolution", 4)
    if spec.resolution < minimum:
        raise InvalidArgument(
            f"resolution {spec.resolution} is too small for this network; "
            f"choose a power of two from {minimum} on.",
            reason="RESOLUTION_INVALID",
            resolution=spec.resolution,
        )


_MAY_BE_ZERO = {"c_dim", "freeze_layers", "margin_size", "cmap_dim", "num_critical"}
_SHARES = {"w_avg_beta", "magnitude_ema_beta"}  # of an old value: 0 to 1


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _in_range(name: str, value: float) -> bool:
    if name in _SHARES:
        return 0 <= value <= 1
    return 0 < value < math.inf or (value == 0 and name in _MAY_BE_ZERO)


def _fits(value: object, hint: object) -> bool:
    origin = typing.get_origin(hint)
    if origin is Literal:
        return value in typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, option) for option in typing.get_args(hint))
    if origin is tuple:
        return isinstance(value, tuple) and all(_is_number(item) for item in value) and bool(value)
    if hint is float:
        return _is_number(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is bool or hint is str:
        return isinstance(value, typing.cast(type, hint))
    return value is None and hint is type(None)


def _describe(hint: object) -> str:
    return getattr(hint, "__name__", None) or str(hint).replace("typing.", "")
