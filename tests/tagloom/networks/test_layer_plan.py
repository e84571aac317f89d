"""Sizes, rates and parameter counts against the official constructors', 16 to 1024 px."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from tagloom.errors import InvalidArgument
from tagloom.networks.build import (
    build_from_spec,
    discriminator_spec,
    generator_spec,
    parameter_count,
)
from tagloom.networks.layer_plan import plan_input, plan_layers
from tagloom.networks.official import generator_spec_from_arguments
from tagloom.networks.spec import StyleGAN3Spec


@pytest.fixture(scope="module")
def plans(golden_folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((golden_folder / "layer_plans.json").read_text())
    return content


@pytest.mark.parametrize("letter", ["t", "r"])
@pytest.mark.parametrize("resolution", [16, 32, 64, 128, 256, 512, 1024])
def test_stylegan3_layers(plans: dict[str, Any], letter: str, resolution: int) -> None:
    expected = plans["sg3"][f"stylegan3-{letter}-{resolution}"]
    spec = generator_spec(f"stylegan3-{letter}", resolution=resolution)
    assert isinstance(spec, StyleGAN3Spec)
    given = {"z_dim": 512, "w_dim": 512, "img_resolution": resolution, "img_channels": 3}
    assert spec == generator_spec_from_arguments("stylegan3", {**given, **expected["kwargs"]})

    layers = plan_layers(spec)
    assert len(layers) + 1 == expected["num_ws"]
    for layer, wanted in zip(layers, expected["layers"], strict=True):
        actual = asdict(layer)
        for key, value in wanted.items():
            if key == "use_fp16":  # precision is no part of the plan
                continue
            if isinstance(value, float):
                assert actual[key] == pytest.approx(value, rel=1e-8), (layer.name, key)
            else:
                value = tuple(value) if isinstance(value, list) else value
                assert actual[key] == value, (layer.name, key)
    assert asdict(plan_input(spec)) == pytest.approx(expected["input"])
    with torch.device("meta"):  # counts need no memory
        network = build_from_spec(spec)
    assert parameter_count(network) == expected["n_params"]


@pytest.mark.parametrize("resolution", [32, 64, 128, 256, 512, 1024])
def test_stylegan2_and_discriminator_sizes(plans: dict[str, Any], resolution: int) -> None:
    with torch.device("meta"):
        generator = build_from_spec(generator_spec("stylegan2", resolution=resolution))
        critic = build_from_spec(discriminator_spec(resolution=resolution))
        conditional = build_from_spec(discriminator_spec(resolution=resolution, c_dim=10))
    expected = plans["sg2"][f"stylegan2-{resolution}"]
    assert parameter_count(generator) == expected["n_params"]
    assert sum(b.numel() for b in generator.buffers()) == expected["n_buffers"]
    assert generator.num_ws == expected["num_ws"]
    assert parameter_count(critic) == plans["disc"][str(resolution)]["n_params"]
    assert parameter_count(conditional) == plans["disc"][str(resolution)]["n_params_c10"]


@pytest.mark.parametrize("resolution", [0, 8, 48, 100, -32])
def test_impossible_resolutions(resolution: int) -> None:
    with pytest.raises(InvalidArgument, match="resolution"):
        generator_spec("stylegan3-t", resolution=resolution)
