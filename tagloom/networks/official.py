"""Specs from the constructor arguments that the field's checkpoints carry.

The arguments' names are those of the published training code; they are facts of a file format and
listed here in one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tagloom.errors import InvalidArgument
from tagloom.networks.spec import DiscriminatorSpec, GeneratorSpec, StyleGAN2Spec, StyleGAN3Spec

__all__ = ["discriminator_spec_from_arguments", "generator_spec_from_arguments"]

# Arguments that change how fast or how precisely a network runs, never what it computes.
_EXECUTION = frozenset(
    {
        "num_fp16_res",
        "use_fp16",
        "fp16_channels_last",
        "fused_modconv_default",
        "fused_modconv",
        "channels_last",
    }
)


def generator_spec_from_arguments(
    family: Literal["stylegan3", "stylegan2"], arguments: Mapping[str, Any]
) -> GeneratorSpec:
    """The spec of a generator made with these arguments; those left out have their default.

    Raises InvalidArgument for an argument that this program does not know.
    """
    # StyleGAN2-ADA passes the arguments of the synthesis network as a dictionary of their own.
    settings = _flatten(arguments, {"mapping_kwargs": _MAPPING, "synthesis_kwargs": {}})
    if family == "stylegan3":
        radial = bool(settings.get("use_radial_filters", False))
        settings.setdefault("architecture", "stylegan3-r" if radial else "stylegan3-t")
        return StyleGAN3Spec.from_json(settings)
    if "architecture" in settings:
        settings["block_architecture"] = settings.pop("architecture")
    return StyleGAN2Spec.from_json({"architecture": "stylegan2", **settings})


def discriminator_spec_from_arguments(arguments: Mapping[str, Any]) -> DiscriminatorSpec:
    """The spec of a discriminator made with these arguments. Raises as for generators."""
    nested = {
        "mapping_kwargs": _MAPPING,
        "block_kwargs": {},
        "epilogue_kwargs": {},
    }
    settings = _flatten(arguments, nested)
    if "architecture" in settings:
        settings["block_architecture"] = settings.pop("architecture")
    return DiscriminatorSpec.from_json(settings)


_MAPPING = {
    "num_layers": "mapping_layers",
    "lr_multiplier": "mapping_lr_multiplier",
    "w_avg_beta": "w_avg_beta",
}


def _flatten(
    arguments: Mapping[str, Any], nested: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    """One level of settings, under this program's names."""
    settings: dict[str, Any] = {}
    for name, value in arguments.items():
        if name in nested:
            names = nested[name]
            if not isinstance(value, Mapping):
                raise InvalidArgument(
                    f"the network was made with {name} = {str(value)[:80]!r}, which is no group of "
                    "settings; use another network.",
                    reason="NETWORK_SPEC_INVALID",
                    setting=name,
                )
            for inner, inner_value in value.items():
                if names and inner not in names:
                    raise InvalidArgument(
                        f"the network was made with {name}.{inner} = {inner_value!r}, which this "
                        "version of Tagloom cannot reproduce; use another network.",
                        reason="NETWORK_SPEC_INVALID",
                        setting=f"{name}.{inner}",
                    )
                if inner not in _EXECUTION:
                    settings[names.get(inner, inner)] = inner_value
        elif name == "img_resolution":
            settings["resolution"] = value
        elif name not in _EXECUTION:
            settings[name] = value
    return {name: list(v) if isinstance(v, tuple) else v for name, v in settings.items()}
