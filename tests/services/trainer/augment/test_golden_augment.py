"""The pipe equals the official one: every augmentation at fixed percentiles, and with its draws."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from services.trainer.augment import pipe as pipe_module
from services.trainer.augment.pipe import AugmentPipe, AugmentSettings
from services.trainer.augment.resample import resample_folded

GOLDEN = Path(os.environ.get("TAGLOOM_GOLDEN", Path(__file__).parents[3] / "golden"))
TOLERANCE = 5e-5


class Percentile:
    """Every value at one percentile of its distribution, every gate open.

    The second rotation is off, as in the recorded runs: else it would undo nothing but doubt.
    """

    def __init__(self, n: int, q: float, noise_image: Tensor | None = None) -> None:
        self.n, self.q, self.noise_image = n, q, noise_image

    def uniform(self, name: str, *shape: int) -> Tensor:
        return torch.full([self.n, *shape], 0.5 if name == "rotate_after" else self.q)

    def normal(self, name: str, *shape: int) -> Tensor:
        if name == "noise_image":
            assert self.noise_image is not None
            return self.noise_image
        # The amount of noise is a half-normal: its percentile is erfinv(q), not erfinv(2q - 1).
        percentile = self.q if name == "noise" else 2 * self.q - 1
        return torch.erfinv(torch.full([self.n, *shape], percentile))

    def gate(self, name: str, probability: Tensor | float) -> Tensor:
        if name.startswith("imgfilter_"):  # a band of strength 0 stays shut
            return torch.full([self.n], bool(torch.as_tensor(probability) > 0))
        return torch.ones([self.n], dtype=torch.bool)


class Recorded:
    """Draws played back in the order in which they were made."""

    def __init__(self, draws: list[Tensor]) -> None:
        self.draws = list(draws)

    def uniform(self, name: str, *shape: int) -> Tensor:
        draw = self.draws.pop(0)
        return draw.reshape([len(draw), *shape])

    normal = uniform

    def gate(self, name: str, probability: Tensor | float) -> Tensor:
        return self.uniform(name) < probability


def settings_of(kwargs: dict[str, Any]) -> AugmentSettings:
    return AugmentSettings(
        **{name: tuple(v) if isinstance(v, list) else v for name, v in kwargs.items()}
    )


def error(actual: Tensor, expected: np.ndarray) -> float:
    reference = torch.from_numpy(expected)
    return float((actual.detach() - reference).abs().max() / reference.abs().max())


def cases(pattern: str) -> list[Any]:
    found = []
    for path in sorted(GOLDEN.glob(pattern)):
        with np.load(path) as archive:
            meta = json.loads(bytes(archive["meta"]))
        if meta["kind"] == pattern.removesuffix("*.npz").rstrip("_"):
            found += [pytest.param(path, case, id=case["name"]) for case in meta["cases"]]
    assert found, f"no {pattern} in {GOLDEN}"
    return found


@pytest.fixture(params=["padded", "folded"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a CPU, and as larger images are resampled on a GPU."""
    if request.param == "folded":
        monkeypatch.setattr(pipe_module, "resample", resample_folded)


@pytest.mark.parametrize(("path", "case"), cases("ada*.npz"))
def test_every_augmentation_at_fixed_percentiles(path: Path, case: dict[str, Any]) -> None:
    archive = np.load(path)
    images = torch.from_numpy(archive[f"in/{case['input']}"])
    noise = torch.from_numpy(archive[f"in/{case['inject']}"]) if "inject" in case else None
    pipe = AugmentPipe(settings_of(case["kwargs"]))
    pipe.p.fill_(1)
    for q in case["percentiles"]:
        actual = pipe(images, Percentile(len(images), q, noise))
        assert error(actual, archive[f"out/{case['name']}/p{q}"]) < TOLERANCE, q


@pytest.mark.parametrize(("path", "case"), cases("ada_random*.npz"))
def test_recorded_draws_and_gradient(path: Path, case: dict[str, Any]) -> None:
    archive = np.load(path)
    name = case["name"]
    images = torch.from_numpy(archive[f"in/{case['input']}"]).requires_grad_()
    keys = sorted(key for key in archive.files if key.startswith(f"in/draws/{name}/"))
    draws = Recorded([torch.from_numpy(archive[key]) for key in keys])
    pipe = AugmentPipe(settings_of(case["kwargs"]))
    pipe.p.fill_(case["p"])
    augmented = pipe(images, draws)
    assert not draws.draws, "not every draw was used"
    assert error(augmented, archive[f"out/{name}"]) < TOLERANCE
    projection = torch.from_numpy(archive["in/proj"])
    (gradient,) = torch.autograd.grad((augmented * projection).sum(), images)
    assert error(gradient, archive[f"out/{name}/grad_input"]) < TOLERANCE
