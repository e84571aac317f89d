"""Training in mixed precision: where it applies, how far off it is, and where it must not apply."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from services.trainer.draws import KeyedDraws, PhaseName
from services.trainer.losses import Losses, LossSettings
from tagloom.networks.build import build_discriminator, build_generator
from tagloom.networks.ops.precision import mixed_precision


@pytest.fixture(scope="module")
def networks() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    sizes = {"channel_base": 512, "channel_max": 32}
    G = build_generator("stylegan3-t", resolution=32, z_dim=32, w_dim=32, **sizes)
    return G, build_discriminator(resolution=32, **sizes)


def _gradient(
    networks: tuple[nn.Module, nn.Module], phase: PhaseName, mixed: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """Of the network that the phase trains, and what the phase has measured."""
    G, D = copy.deepcopy(networks)
    trained = G if phase[0] == "G" else D
    G.requires_grad_(False)
    D.requires_grad_(False)
    trained.requires_grad_(True)
    losses = Losses(G, D, LossSettings(r1_gamma=1.0, mixed_precision=mixed), None)
    torch.manual_seed(1)
    real = torch.rand(4, 3, 32, 32) * 2 - 1
    draws = KeyedDraws(seed=0, step=0, batch=4, z_dim=32)
    measured = losses.accumulate(phase, real, None, draws, gain=1, images_seen=0)
    gradients = [p.grad for p in trained.parameters() if p.grad is not None]
    assert all(gradient.dtype == torch.float32 for gradient in gradients)
    assert all(value.dtype == torch.float32 for value in measured.values())
    return torch.cat([gradient.flatten() for gradient in gradients]), measured


@pytest.mark.parametrize("phase", ["Gmain", "Dmain"])
def test_points_where_full_precision_does(
    networks: tuple[nn.Module, nn.Module], phase: PhaseName
) -> None:
    exact, expected = _gradient(networks, phase, mixed=False)
    mixed, measured = _gradient(networks, phase, mixed=True)
    cosine = float(torch.nn.functional.cosine_similarity(exact, mixed, dim=0))
    assert 0.97 < cosine < 1 - 1e-7  # close, and not simply the same arithmetic
    for name, values in measured.items():
        assert math.isclose(float(values.mean()), float(expected[name].mean()), abs_tol=0.02), name


def test_the_gradient_penalty_stays_in_full_precision(
    networks: tuple[nn.Module, nn.Module],
) -> None:
    exact, _ = _gradient(networks, "Dreg", mixed=False)
    mixed, _ = _gradient(networks, "Dreg", mixed=True)
    assert torch.equal(exact, mixed)


def test_images_differ_little_and_not_from_run_to_run(
    networks: tuple[nn.Module, nn.Module],
) -> None:
    G, _ = networks
    z = torch.randn(2, 32)
    with torch.no_grad():
        exact = G(z)
        with mixed_precision(torch.bfloat16):
            mixed, again = G(z), G(z)
        after = G(z)
    assert mixed.dtype == torch.float32
    assert mixed.is_contiguous()
    assert torch.equal(mixed, again)
    assert torch.equal(exact, after)  # the mode ends with its block
    error = float((mixed - exact).abs().max() / exact.abs().max())
    assert 1e-5 < error < 0.05


def test_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match="bfloat16"), mixed_precision(torch.float16):
        pass
