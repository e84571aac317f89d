"""Four steps of the full schedule end at the official parameters."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from services.trainer.losses import Losses, LossSettings
from services.trainer.step import StepSettings, TrainingStep
from tagloom.networks.build import build_from_spec
from tagloom.networks.official import (
    discriminator_spec_from_arguments,
    generator_spec_from_arguments,
)

GOLDEN = Path(os.environ.get("TAGLOOM_GOLDEN", Path(__file__).parents[2] / "golden"))
FAMILY: dict[str, Literal["stylegan3", "stylegan2"]] = {"sg3": "stylegan3", "sg2": "stylegan2"}
TOLERANCE = 2e-4
REPORTED = {
    "G/loss": "g_loss",
    "D/loss": "d_loss",
    "r1_penalty": "r1_penalty",
    "pl_penalty": "path_penalty",
}


class Recorded:
    """The inputs of one iteration; phases count in the order in which they exist."""

    def __init__(self, archive: Any, iteration: int, phases: list[str]) -> None:
        self.z = torch.from_numpy(archive["in/z"][iteration])
        self.c = torch.from_numpy(archive["in/c"][iteration])
        self.pl_noise = torch.from_numpy(archive["in/pl_noise"][iteration])
        self.phases = phases

    def latents(self, phase: str) -> tuple[Tensor, Tensor]:
        index = self.phases.index(phase)
        return self.z[index], self.c[index]

    def path_noise(self, shape: torch.Size) -> Tensor:
        return self.pl_noise[: shape[0]]

    def mixing(self, phase: str, num_ws: int) -> tuple[Tensor, int]:
        raise AssertionError("no style mixing in the recorded runs")

    def augment(self, phase: str, part: str) -> Any:
        raise AssertionError("no augmentation in the recorded runs")

    def prepare_layer_noise(self, phase: str) -> None:
        raise AssertionError("constant noise in the recorded runs")


def load(network: nn.Module, archive: Any, prefix: str) -> nn.Module:
    network.load_state_dict(
        {
            key.removeprefix(prefix): torch.from_numpy(archive[key])
            for key in archive.files
            if key.startswith(prefix)
        }
    )
    return network


def relative(actual: Tensor, expected: np.ndarray) -> float:
    reference = torch.from_numpy(np.asarray(expected))
    scale = max(float(reference.abs().max()), 1e-12)
    return float((actual.detach().reshape(reference.shape) - reference).abs().max()) / scale


def recorded_then(archive: Any, key: str, last: int) -> bool:
    """Whether an array shows its own iteration.

    Where the recording kept a reference instead of a copy, the array shows the last iteration: it
    is then equal to the one recorded there, which training would not have left as it was.
    """
    _, iteration, rest = key.split("/", 2)
    final = f"out/it{last}/{rest}"
    if iteration == f"it{last}" or final not in archive.files:
        return True
    return not np.array_equal(archive[key], archive[final])


def files() -> list[Path]:
    found = sorted(GOLDEN.glob("train_*.npz"))
    assert found, f"no train_*.npz in {GOLDEN}"
    return found


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_four_steps(path: Path) -> None:
    archive = np.load(path)
    meta = json.loads(bytes(archive["meta"]))
    train = meta["train"]
    g_spec = generator_spec_from_arguments(FAMILY[meta["gen"]], meta["G_kwargs"])
    G = load(build_from_spec(g_spec), archive, "G/")
    G_ema = load(build_from_spec(g_spec), archive, "G/")
    D = load(build_from_spec(discriminator_spec_from_arguments(meta["D_kwargs"])), archive, "D/")
    kwargs = train["loss_kwargs"]
    losses = Losses(
        G,
        D,
        LossSettings(r1_gamma=kwargs["r1_gamma"], path_length_weight=kwargs.get("pl_weight", 0)),
        None,
    )
    step = TrainingStep(
        losses,
        G_ema,
        StepSettings(
            batch=train["batch_size"],
            g_learning_rate=train["G_lr"],
            d_learning_rate=train["D_lr"],
            g_regularisation_interval=train["G_reg_interval"],
            d_regularisation_interval=train["D_reg_interval"],
            ema_kimg=train["ema_kimg"],
            ema_rampup=train["ema_rampup"],
        ),
    )
    names = [phase.name for phase in step.phases]
    last = train["iterations"] - 1
    for iteration in range(train["iterations"]):
        out = f"out/it{iteration}"
        assert step.ema_beta == pytest.approx(float(archive[f"{out}/ema_beta"]), abs=1e-12)
        real = torch.from_numpy(archive["in/real"][iteration])
        c_real = torch.from_numpy(archive["in/c_real"][iteration])
        step.run(real, c_real, Recorded(archive, iteration, names))

        means = step.statistics.take()
        reports = [key for key in archive.files if key.startswith(f"{out}/") and "/Loss/" in key]
        for key in reports:
            kind = key.split("/Loss/")[1]
            if kind in REPORTED:
                assert means[REPORTED[kind]] == pytest.approx(float(archive[key]), rel=5e-4), key
        for name, network in (("G", G), ("D", D), ("Gema", G_ema)):
            parameters = dict(network.named_parameters())
            order = meta["param_names"]["G" if name == "Gema" else name]
            norms = torch.stack([parameters[key].norm() for key in order])
            assert relative(norms, archive[f"{out}/{name}/paramnorm"]) < TOLERANCE
            for key in archive.files:
                if key.startswith(f"{out}/{name}/param/") and recorded_then(archive, key, last):
                    parameter = parameters[key.removeprefix(f"{out}/{name}/param/")]
                    assert relative(parameter, archive[key]) < TOLERANCE, key
        w_avg = dict(G.named_buffers())["mapping.w_avg"]
        if recorded_then(archive, f"{out}/w_avg", last):
            assert relative(w_avg, archive[f"{out}/w_avg"]) < TOLERANCE
        if recorded_then(archive, f"{out}/pl_mean", last):
            assert relative(losses.path_length_mean, archive[f"{out}/pl_mean"]) < 1e-3
        if f"{out}/Gema_img" in archive.files:
            z = torch.from_numpy(archive["in/z"][0, 0])
            c = torch.from_numpy(archive["in/c"][0, 0])
            assert relative(G_ema(z, c), archive[f"{out}/Gema_img"]) < TOLERANCE
