"""A generator as an ONNX model: mapping and synthesis in one graph, any batch.

    inputs   z               float32 [batch, z_dim], standard normal
             c               float32 [batch, c_dim], one-hot; only for a network with labels
             truncation_psi  float32 [1]: 1 leaves images as they are, 0 makes all of them the mean
    output   images          float32 [batch, channels, height, width], about [-1, 1]

Truncation is an input, since it is the one setting that everybody turns; it has no cutoff. Noise
is the constant noise that the network was trained with. The graph is traced through the plain
PyTorch operations: kernels compiled for this machine are left out of it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tagloom.artifacts.network import Network
from tagloom.errors import FailedPrecondition

__all__ = ["OPSET", "check_installed", "write_onnx"]

OPSET = 18


def check_installed() -> None:
    """Raises FailedPrecondition (EXPORT_NOT_INSTALLED) without what the exporter needs."""
    absent = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if absent:
        raise FailedPrecondition(
            f"{' and '.join(absent)} must be there to export ONNX; pip install 'tagloom[export]'.",
            reason="EXPORT_NOT_INSTALLED",
        )


class _Generator(nn.Module):
    """The calls that a graph is traced from."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.mapping = generator.get_submodule("mapping")
        self.synthesis = generator.get_submodule("synthesis")

    def forward(self, z: Tensor, truncation_psi: Tensor, c: Tensor | None = None) -> Tensor:
        ws: Tensor = self.mapping(z, c)
        mean = self.mapping.get_buffer("w_avg")
        images: Tensor = self.synthesis(mean + (ws - mean) * truncation_psi, noise_mode="const")
        return images


def write_onnx(generator: nn.Module, path: Path, network: Network) -> None:
    """Writes `generator`, a network of `tagloom.networks.build` on the CPU, to `path`.

    network: described in the model's metadata (architecture, origin, licence note).
    """
    spec: Any = generator.spec
    inputs = {"z": torch.randn(2, spec.z_dim), "truncation_psi": torch.ones(1)}
    shapes: dict[str, dict[int, str] | None] = {"z": {0: "batch"}, "truncation_psi": None}
    if spec.c_dim:
        inputs["c"] = torch.eye(spec.c_dim)[[0, -1]]
        shapes["c"] = {0: "batch"}
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        # The exporter talks a lot: of its own internals on standard output, of its dependencies
        # in warnings.
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _Generator(generator).eval(),
                kwargs=inputs,
                dynamic_shapes=shapes,
                opset_version=OPSET,
                output_names=["images"],
                dynamo=True,
                verbose=False,
            )
            assert program is not None  # it is, unless the exporter writes the file itself
            program.model.producer_name = "tagloom"
            program.model.metadata_props.update(
                architecture=network.architecture,
                origin=network.origin,
                license=network.license,
                weights_sha256=network.weights_sha256,
            )
            program.save(path, external_data=False)
    finally:
        exporter.setLevel(level)
