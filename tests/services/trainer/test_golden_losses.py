"""Losses and their gradients equal the official ones, phase by phase."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from services.trainer.augment.pipe import AugmentPipe, AugmentSettings
from services.trainer.losses import Losses, LossSettings
from tagloom.networks.build import build_from_spec
from tagloom.networks.official import (
    discriminator_spec_from_arguments,
    generator_spec_from_arguments,
)

GOLDEN = Path(os.environ.get("TAGLOOM_GOLDEN", Path(__file__).parents[2] / "golden"))
FAMILY: dict[str, Literal["stylegan3", "stylegan2"]] = {"sg3": "stylegan3", "sg2": "stylegan2"}


class Percentile:
    def __init__(self, n: int, q: float) -> None:
        self.n, self.q = n, q

    def uniform(self, name: str, *shape: int) -> Tensor:
        return torch.full([self.n, *shape], 0.5 if name == "rotate_after" else self.q)

    def normal(self, name: str, *shape: int) -> Tensor:
        return torch.erfinv(torch.full([self.n, *shape], 2 * self.q - 1))

    def gate(self, name: str, probability: Tensor | float) -> Tensor:
        return torch.ones([self.n], dtype=torch.bool)


class Recorded:
    """The inputs of the file; no style mixing, constant noise, a fixed percentile."""

    def __init__(self, archive: Any, percentile: float | None) -> None:
        self.z = torch.from_numpy(archive["in/z"])
        self.c = torch.from_numpy(archive["in/c"])
        self.pl_noise = torch.from_numpy(archive["in/pl_noise"])
        self.percentile = percentile

    def latents(self, phase: str) -> tuple[Tensor, Tensor]:
        return self.z, self.c

    def mixing(self, phase: str, num_ws: int) -> tuple[Tensor, int]:
        return self.z, num_ws

    def path_noise(self, shape: torch.Size) -> Tensor:
        return self.pl_noise[: shape[0]]

    def augment(self, phase: str, part: str) -> Percentile:
        assert self.percentile is not None
        return Percentile(len(self.z), self.percentile)

    def prepare_layer_noise(self, phase: str) -> None:
        raise AssertionError("the recorded runs use constant noise")


def cases() -> list[Any]:
    found = []
    for path in sorted(GOLDEN.glob("loss_*.npz")):
        with np.load(path) as archive:
            meta = json.loads(bytes(archive["meta"]))
        found += [pytest.param(path, c, id=f"{path.stem}-{c['name']}") for c in meta["cases"]]
    assert found, f"no loss_*.npz in {GOLDEN}"
    return found


def networks(path: Path, meta: dict[str, Any]) -> tuple[nn.Module, nn.Module]:
    G = build_from_spec(generator_spec_from_arguments(FAMILY[meta["gen"]], meta["G_kwargs"]))
    D = build_from_spec(discriminator_spec_from_arguments(meta["D_kwargs"]))
    with np.load(path.parent / meta["nets"]) as weights:
        for name, network in (("G", G), ("D", D)):
            state = {
                key[2:]: torch.from_numpy(weights[key])
                for key in weights.files
                if key.startswith(f"{name}/")
            }
            network.load_state_dict(state)
    return G.train(), D.train()


def settings_of(kwargs: dict[str, Any]) -> LossSettings:
    return LossSettings(
        r1_gamma=kwargs.get("r1_gamma", 10),
        path_length_weight=kwargs.get("pl_weight", 0),
        path_length_decay=kwargs.get("pl_decay", 0.01),
        path_length_shrink=kwargs.get("pl_batch_shrink", 2),
        blur_sigma=kwargs.get("blur_init_sigma", 0),
        blur_fade_kimg=kwargs.get("blur_fade_kimg", 0),
    )


def relative(actual: Tensor, expected: np.ndarray) -> float:
    reference = torch.from_numpy(np.asarray(expected))
    scale = max(float(reference.abs().max()), 1e-12)
    return float((actual.detach().reshape(reference.shape) - reference).abs().max()) / scale


@pytest.mark.parametrize(("path", "case"), cases())
def test_phases(path: Path, case: dict[str, Any]) -> None:
    archive = np.load(path)
    meta = json.loads(bytes(archive["meta"]))
    G, D = networks(path, meta)
    pipe = None
    if "augment" in case:
        pipe = AugmentPipe(AugmentSettings(**case["augment"]))
        pipe.p.fill_(1)
    losses = Losses(G, D, settings_of(case["loss_kwargs"]), pipe)
    losses.path_length_mean.fill_(case.get("pl_mean0", 0))
    seen: list[Tensor] = []
    D.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()[:2].clone()))
    draws = Recorded(archive, case.get("debug_percentile"))
    real, c_real = torch.from_numpy(archive["in/real"]), torch.from_numpy(archive["in/c_real"])

    for phase in case["phases"]:
        name = phase["phase"]
        prefix = f"out/{case['name']}/{name}"
        trained = G if name.startswith("G") else D
        for network in (G, D):
            network.requires_grad_(network is trained)
            network.zero_grad(set_to_none=True)
        seen.clear()
        measured = losses.accumulate(
            name, real, c_real, draws, gain=phase["gain"], images_seen=case["cur_nimg"]
        )

        check_reports(archive, f"{prefix}/report/Loss/", measured)
        for j, images in enumerate(seen):
            if f"{prefix}/D_input{j}" in archive.files:
                assert relative(images, archive[f"{prefix}/D_input{j}"]) < 5e-5
        check_gradients(archive, prefix, trained, meta["param_names"][name[0]], meta["gen"])
        if f"{prefix}/magnitude_ema_after" in archive.files:
            emas = [b for key, b in G.named_buffers() if key.endswith("magnitude_ema")]
            assert relative(torch.stack(emas), archive[f"{prefix}/magnitude_ema_after"]) < 3e-5
    # The files hold these two as they were after the last phase of the case, under every phase's
    # name (base/Dmain and base/Dboth are equal, though each phase moves w_avg).
    w_avg = dict(G.named_buffers())["mapping.w_avg"]
    for phase in case["phases"]:
        prefix = f"out/{case['name']}/{phase['phase']}"
        if f"{prefix}/w_avg_after" in archive.files:
            assert relative(w_avg, archive[f"{prefix}/w_avg_after"]) < 3e-5
        if f"{prefix}/pl_mean_after" in archive.files:
            assert relative(losses.path_length_mean, archive[f"{prefix}/pl_mean_after"]) < 1e-4


REPORTED = {
    "G/loss": "g_loss",
    "D/loss": "d_loss",
    "r1_penalty": "r1_penalty",
    "pl_penalty": "path_penalty",
    "scores/fake": "fake_score",
    "scores/real": "real_score",
}


def check_reports(archive: Any, prefix: str, measured: dict[str, Tensor]) -> None:
    compared = 0
    for key, name in REPORTED.items():
        if f"{prefix}{key}" in archive.files:
            assert relative(measured[name], archive[f"{prefix}{key}"]) < 1e-4, key
            compared += 1
    assert compared > 0


def check_gradients(
    archive: Any, prefix: str, network: nn.Module, names: list[str], family: str
) -> None:
    """At the tolerances of the golden README: few arrays may be off, none by much."""
    parameters = dict(network.named_parameters())
    errors = [
        relative(parameters[key.removeprefix(f"{prefix}/grad/")].grad, archive[key])
        for key in archive.files
        if key.startswith(f"{prefix}/grad/")
    ]
    generator_of_3 = family == "sg3" and "/G" in prefix
    most, share, worst = (2e-4, 0.8, 1e-2) if generator_of_3 else (5e-5, 0.9, 3e-3)
    assert errors
    assert max(errors) < worst
    assert np.mean([error < most for error in errors]) >= share, sorted(errors)
    for name, expected in zip(names, archive[f"{prefix}/gradnorm"], strict=True):
        gradient = parameters[name].grad
        if expected < 0:
            assert gradient is None or not gradient.any(), name
        else:
            assert gradient is not None, name
            norm = float(gradient.norm())
            assert norm == pytest.approx(expected, rel=1e-3, abs=1e-7), name
