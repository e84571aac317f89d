"""Golden files: one test instance for each that fits, whatever its configuration."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tagloom.networks.build import build_from_spec
from tagloom.networks.official import (
    discriminator_spec_from_arguments,
    generator_spec_from_arguments,
)

GOLDEN = Path(os.environ.get("TAGLOOM_GOLDEN", Path(__file__).parents[2] / "golden"))
_FAMILY = {"sg3": "stylegan3", "sg2": "stylegan2"}


class GoldenFile:
    """Arrays of one .npz by key, as tensors, and its meta data."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        with np.load(path, allow_pickle=False) as arrays:
            self._arrays = {key: arrays[key] for key in arrays.files}
        self.meta: dict[str, Any] = json.loads(bytes(self._arrays.pop("meta")))

    def __getitem__(self, key: str) -> Tensor:
        return torch.from_numpy(self._arrays[key].copy())

    def __contains__(self, key: str) -> bool:
        return key in self._arrays

    def under(self, prefix: str) -> dict[str, Tensor]:
        """All arrays whose key begins with `prefix`, by the rest of their key."""
        return {k[len(prefix) :]: self[k] for k in self._arrays if k.startswith(prefix)}


class GoldenNetworks(GoldenFile):
    """A pair of networks with the golden weights, built anew at each access."""

    @property
    def is_stylegan3(self) -> bool:
        return bool(self.meta["gen"] == "sg3")

    def generator(self) -> nn.Module:
        spec = generator_spec_from_arguments(_FAMILY[self.meta["gen"]], self.meta["G_kwargs"])
        return self._load(build_from_spec(spec), "G")

    def discriminator(self) -> nn.Module:
        return self._load(
            build_from_spec(discriminator_spec_from_arguments(self.meta["D_kwargs"])), "D"
        )

    def _load(self, network: nn.Module, name: str) -> nn.Module:
        network.load_state_dict(self.under(f"{name}/"), strict=True)
        return network


_CACHE: dict[Path, GoldenFile] = {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "golden_networks" in metafunc.fixturenames:
        paths = sorted(GOLDEN.glob("nets_*.npz"))
        if not paths:
            raise pytest.UsageError(f"no nets_*.npz in {GOLDEN}: set TAGLOOM_GOLDEN")
        metafunc.parametrize(
            "golden_networks", paths, ids=[path.stem for path in paths], indirect=True
        )


@pytest.fixture
def golden_networks(request: pytest.FixtureRequest) -> GoldenNetworks:
    path: Path = request.param
    if path not in _CACHE:
        _CACHE[path] = GoldenNetworks(path)
    cached = _CACHE[path]
    assert isinstance(cached, GoldenNetworks)
    return cached


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    return GOLDEN


@pytest.fixture(scope="session")
def relative_error() -> Any:
    """max |a - ref| / max |ref|, the measure of all tolerances."""

    def measure(value: Tensor, reference: Tensor) -> float:
        assert value.shape == reference.shape
        if reference.numel() == 0:
            return 0.0
        reference = reference.detach().double()
        difference = (value.detach().double() - reference).abs().max()
        scale = reference.abs().max()
        return float(difference / scale) if scale > 0 else float(difference)

    return measure
