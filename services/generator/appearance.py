"""What decides how an image looks besides its latent vector, and what a network can do of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, NoReturn

from tagloom.errors import InvalidArgument
from tagloom.networks.spec import GeneratorSpec, StyleGAN3Spec

__all__ = ["AS_IT_IS", "NoiseMode", "Rendering", "check_layers", "check_rendering", "layer_count"]

NoiseMode = Literal["const", "none", "random"]


@dataclass(frozen=True, slots=True)
class Rendering:
    """How an image is made of its latent vector; the defaults leave everything as it is."""

    truncation_cutoff: int | None = None
    """so many of the first ws are truncated; None: all"""
    class_label: int | None = None
    """of a network with labels; None: the seed modulo the number of classes"""
    noise_mode: NoiseMode = "const"
    """of StyleGAN2's layers; random noise is drawn by the image's seed"""
    translate: tuple[float, float] = (0.0, 0.0)
    """StyleGAN3: to the right and down, as shares of the image"""
    rotate: float = 0.0
    """StyleGAN3: degrees anticlockwise, before the translation"""

    @property
    def moves(self) -> bool:
        """Whether the picture is moved or turned."""
        return self.translate != (0.0, 0.0) or self.rotate != 0.0


AS_IT_IS: Final = Rendering()


def layer_count(spec: GeneratorSpec) -> int:
    """Number of ws that the network takes, one for each layer (StyleGAN3: and its input)."""
    if isinstance(spec, StyleGAN3Spec):
        return spec.num_layers + 2
    return 2 * (spec.resolution.bit_length() - 1) - 2


def check_rendering(rendering: Rendering, spec: GeneratorSpec, name: str) -> None:
    """Raises InvalidArgument (RENDERING_INVALID) for what network `name` cannot do."""
    layers, label = layer_count(spec), rendering.class_label
    cutoff = rendering.truncation_cutoff
    if cutoff is not None and not 0 <= cutoff <= layers:
        _refuse(
            "truncation_cutoff",
            f"truncation_cutoff is {cutoff}, but {name} has {layers} layers; write a number from "
            f"0 to {layers}, or leave it out.",
        )
    if label is not None and not spec.c_dim:
        _refuse("class_label", f"{name} was trained without classes; leave the class out.")
    if label is not None and not 0 <= label < spec.c_dim:
        _refuse(
            "class_label",
            f"The class is {label}, but {name} has {spec.c_dim} classes; write a number from 0 to "
            f"{spec.c_dim - 1}.",
        )
    moved = (*rendering.translate, rendering.rotate)
    if isinstance(spec, StyleGAN3Spec):
        if rendering.noise_mode != "const":
            _refuse("noise_mode", f"{name} is a StyleGAN3 network and has no noise; leave it out.")
        if not all(math.isfinite(amount) for amount in moved):
            _refuse("translate_x", "Translations and rotations must be finite numbers.")
    elif rendering.moves:
        _refuse(
            "translate_x",
            f"{name} is a StyleGAN2 network, which cannot move its images; leave translation and "
            "rotation out, or use a StyleGAN3 network.",
        )


def check_layers(layers: Iterable[int], spec: GeneratorSpec, name: str) -> None:
    """Raises InvalidArgument (LAYERS_INVALID) for a layer that network `name` does not have."""
    count = layer_count(spec)
    for layer in layers:
        if not 0 <= layer < count:
            raise InvalidArgument(
                f"Layer {layer} cannot be mixed: {name} has the layers 0 to {count - 1}.",
                reason="LAYERS_INVALID",
                field="mixing.layers",
            )


def _refuse(field: str, sentence: str) -> NoReturn:
    raise InvalidArgument(sentence, reason="RENDERING_INVALID", field=field)
