"""Between the messages of generator.proto and the domain's own types."""

from __future__ import annotations

import math
from typing import Final

from services.generator.appearance import NoiseMode, Rendering
from services.generator.points import Format
from tagloom.artifacts.network import Network
from tagloom.errors import InvalidArgument
from tagloom.v1 import generator_pb2

__all__ = ["DEFAULT_FRAMES", "image_format", "network_message", "rendering", "truncation"]

DEFAULT_FRAMES = 8
_LARGEST_PSI = 2.0


def image_format(value: generator_pb2.ImageFormat) -> Format:
    """The format asked for; PNG if none is. Raises InvalidArgument (FORMAT_UNKNOWN)."""
    if value in (generator_pb2.IMAGE_FORMAT_UNSPECIFIED, generator_pb2.IMAGE_FORMAT_PNG):
        return "png"
    if value == generator_pb2.IMAGE_FORMAT_NPY:
        return "npy"
    raise InvalidArgument(
        f"The image format {value} is not known; choose PNG or NPY.",
        reason="FORMAT_UNKNOWN",
        field="format",
    )


def truncation(
    request: generator_pb2.GenerateImagesRequest | generator_pb2.InterpolateImagesRequest,
) -> float:
    """Truncation psi; 1 if it is absent. Raises InvalidArgument (TRUNCATION_INVALID)."""
    psi = request.truncation_psi if request.HasField("truncation_psi") else 1.0
    if not (math.isfinite(psi) and abs(psi) <= _LARGEST_PSI):
        raise InvalidArgument(
            f"truncation_psi is {psi:g}; write a number from -2 to 2: 1 leaves images as they "
            "are, 0.7 makes them more typical, 0 gives the mean image.",
            reason="TRUNCATION_INVALID",
            field="truncation_psi",
        )
    return psi


_NOISE: Final[dict[generator_pb2.NoiseMode, NoiseMode]] = {
    generator_pb2.NOISE_MODE_UNSPECIFIED: "const",
    generator_pb2.NOISE_MODE_CONST: "const",
    generator_pb2.NOISE_MODE_NONE: "none",
    generator_pb2.NOISE_MODE_RANDOM: "random",
}


def rendering(message: generator_pb2.Rendering) -> Rendering:
    """Raises InvalidArgument (RENDERING_INVALID) for a noise mode that is not known."""
    if message.noise_mode not in _NOISE:
        raise InvalidArgument(
            f"The noise mode {message.noise_mode} is not known; choose CONST, NONE or RANDOM.",
            reason="RENDERING_INVALID",
            field="noise_mode",
        )
    cutoff, label = message.truncation_cutoff, message.class_label
    return Rendering(
        truncation_cutoff=cutoff if message.HasField("truncation_cutoff") else None,
        class_label=label if message.HasField("class_label") else None,
        noise_mode=_NOISE[message.noise_mode],
        translate=(message.translate_x, message.translate_y),
        rotate=message.rotate_degrees,
    )


def network_message(network: Network) -> generator_pb2.Network:
    """The resource as clients see it."""
    return generator_pb2.Network(
        name=f"networks/{network.id}",
        create_time=network.create_time,
        architecture=network.architecture,
        resolution=network.resolution,
        kimg=network.kimg,
        origin=network.origin,
        license=network.license,
        weights_sha256=network.weights_sha256,
        has_discriminator=network.discriminator is not None,
    )
