"""EQ-T and EQ-R equal the official figures; images move as they should."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from services.evaluator.equivariance import decibels, equivariance, squared_error
from services.evaluator.image_transforms import (
    bandlimit_filter,
    fractional_translation,
    integer_translation,
    pseudo_rotation,
    rotation,
)
from tagloom.artifacts.evaluation import EquivarianceMetric
from tagloom.networks.build import build_from_spec, generator_spec
from tagloom.networks.official import generator_spec_from_arguments

GOLDEN = Path(os.environ.get("TAGLOOM_GOLDEN", Path(__file__).parents[2] / "golden"))
FILES = sorted(GOLDEN.glob("equivariance*.npz"))
OPERATIONS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "int_translation": integer_translation,
    "frac_translation": fractional_translation,
    "rotation": rotation,
    "pseudo_rotation": pseudo_rotation,
}


def recorded() -> list[Any]:
    """Every moved image of every file."""
    found = []
    for path in FILES:
        with np.load(path) as archive:
            keys = [key.split("/")[1] for key in archive.files if key.endswith("/mask")]
        found += [pytest.param(path, key, id=f"{path.stem}-{key}") for key in sorted(keys)]
    assert found, f"no equivariance*.npz in {GOLDEN}"
    return found


@pytest.mark.parametrize(("path", "key"), recorded())
def test_moved_images_and_masks(path: Path, key: str) -> None:
    name, index = key.rstrip("0123456789"), int(key[len(key.rstrip("0123456789")) :])
    with np.load(path) as archive:
        images = torch.from_numpy(archive["in/x"])
        translated = name.endswith("translation")
        amount = (
            archive["in/shifts"][index] if translated else archive["in/angles"][index : index + 1]
        )
        expected = torch.from_numpy(archive[f"out/{key}/out"])
        mask = torch.from_numpy(archive[f"out/{key}/mask"])
    moved, inside = OPERATIONS[name](images, *amount.tolist())
    assert torch.equal(inside, mask)
    assert float(((moved - expected) * mask).abs().max()) < 3e-5 * float(expected.abs().max())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_bandlimit_filters(path: Path) -> None:
    with np.load(path) as archive:
        filters = [key for key in archive.files if "bandlimit_filter" in key]
        assert filters
        for key in filters:
            angle = float(archive["in/angles"][int(key.removeprefix("out/bandlimit_filter"))])
            assert np.abs(bandlimit_filter(angle, up=4) - archive[key]).max() < 1e-6, key


def measured() -> list[Any]:
    """Every network and metric of every file."""
    found = []
    for path in FILES:
        with np.load(path) as archive:
            keys = [key.split("/")[2:4] for key in archive.files if key.endswith("/psnr")]
        found += [pytest.param(path, *key, id=f"{path.stem}-{'-'.join(key)}") for key in keys]
    return found


def golden_generator(path: Path) -> nn.Module:
    with np.load(path) as archive:
        meta = json.loads(bytes(archive["meta"]))
        state = {k[2:]: torch.from_numpy(archive[k]) for k in archive.files if k.startswith("G/")}
    generator = build_from_spec(generator_spec_from_arguments("stylegan3", meta["G_kwargs"]))
    generator.load_state_dict(state)
    return generator.eval()


@torch.inference_mode()
@pytest.mark.parametrize(("path", "network", "metric"), measured())
def test_networks(path: Path, network: str, metric: Any) -> None:
    generator = golden_generator(path.parent / f"{network}.npz")
    with np.load(path) as archive:
        z = torch.from_numpy(archive[f"in/z_{network}"])
        amounts = archive["in/angles"][:, None] if metric == "eqr" else archive["in/shifts"]
        expected = archive[f"out/net/{network}/{metric}/sum_sq_and_mask"]
        psnr = float(archive[f"out/net/{network}/{metric}/psnr"])
    ws = generator.get_submodule("mapping")(z, z.new_zeros([len(z), 0]))
    upright: Tensor = generator.get_submodule("synthesis")(ws)
    sums = np.array(
        [squared_error(generator, ws, upright, metric, *row) for row in amounts.tolist()]
    )
    assert np.array_equal(sums[:, 1], expected[:, 1])
    assert decibels(*sums.sum(axis=0).tolist()) == pytest.approx(psnr, abs=0.05)


def test_scores_of_a_generator() -> None:
    torch.manual_seed(0)
    spec = generator_spec(
        "stylegan3-t", resolution=16, z_dim=8, w_dim=8, channel_base=256, channel_max=8
    )
    generator = build_from_spec(spec).eval()
    told: list[int] = []
    device = torch.device("cpu")
    metrics: tuple[EquivarianceMetric, ...] = ("eqt_int", "eqr")
    scores = equivariance(generator, spec, metrics, 40, device, told.append)
    translated, turned = scores
    assert [score.metric for score in scores] == list(metrics)
    assert told == [16, 32, 40]
    # The configuration is made for translation, not for rotation.
    assert translated.low > turned.high + 10
    assert turned.low < turned.value < turned.high
    assert torch.equal(generator.get_buffer("synthesis.input.transform"), torch.eye(3))
    assert equivariance(generator, spec, metrics, 40, device) == scores


def test_a_smooth_image_turns_exactly() -> None:
    """A wave far below the band: turning its samples is sampling the turned wave."""
    places = torch.arange(64, dtype=torch.float64) - 31.5
    y, x = torch.meshgrid(places, places, indexing="ij")
    angle = 0.7
    wave = torch.sin(0.3 * x + 0.2 * y)[None, None]
    cos, sin = math.cos(angle), math.sin(angle)
    expected = torch.sin(0.3 * (cos * x - sin * y) + 0.2 * (sin * x + cos * y))
    turned, mask = rotation(wave, angle)
    assert float(mask.mean()) > 0.3
    assert float(((turned - expected) * mask).abs().max()) < 0.02
    filtered, mask = pseudo_rotation(wave, angle)
    assert float(((filtered - wave) * mask).abs().max()) < 0.02
