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
from tagloom.networks.spec import StyleGAN2Spec
from tagloom.networks.stylegan2 import SynthesisBlock, SynthesisLayer


@pytest.fixture(scope="module", params=["stylegan3-t", "stylegan2"])
def networks(request: pytest.FixtureRequest) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    sizes = {"channel_base": 512, "channel_max": 32}
    G = build_generator(request.param, resolution=32, z_dim=32, w_dim=32, **sizes)
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
    settings = LossSettings(r1_gamma=1.0, path_length_weight=2.0, mixed_precision=mixed)
    losses = Losses(G, D, settings, None)
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


@pytest.mark.parametrize("phase", ["Dreg", "Greg"])
def test_what_differentiates_twice_stays_in_full_precision(
    networks: tuple[nn.Module, nn.Module], phase: PhaseName
) -> None:
    exact, _ = _gradient(networks, phase, mixed=False)
    mixed, _ = _gradient(networks, phase, mixed=True)
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


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
def test_the_four_highest_resolutions_of_stylegan2_take_part(architecture: str) -> None:
    """As the paper has it (arXiv 2006.06676, appendix C); the colours stay in float32."""
    torch.manual_seed(0)
    G = build_generator(
        "stylegan2",
        resolution=128,
        z_dim=8,
        w_dim=8,
        channel_base=512,
        channel_max=16,
        block_architecture=architecture,
    )
    seen: dict[str, torch.dtype] = {}
    inner: dict[str, torch.dtype] = {}
    for name, module in G.named_modules():
        if isinstance(module, SynthesisBlock):
            module.register_forward_hook(
                lambda module, _, result, name=name: seen.update(
                    {name: result[0].dtype, f"{name}.img": getattr(result[1], "dtype", None)}
                )
            )
        elif isinstance(module, SynthesisLayer):
            module.register_forward_hook(
                lambda module, _, result, name=name: inner.update({name: result.dtype})
            )
    z = torch.randn(2, 8)
    with torch.no_grad():
        exact = G(z)
        assert {*inner.values()} == {torch.float32}
        with mixed_precision(torch.bfloat16):
            mixed = G(z)
    for resolution in (4, 8, 16, 32, 64, 128):
        expected = torch.bfloat16 if resolution >= 16 else torch.float32
        name = f"synthesis.b{resolution}"
        assert seen[name] == expected
        assert seen[f"{name}.img"] in (torch.float32, None)
        assert all(dtype == expected for layer, dtype in inner.items() if f"{name}." in layer)
    error = float((mixed - exact).abs().max() / exact.abs().max())
    assert 1e-5 < error < 0.05


def test_large_features_are_clamped_in_mixed_precision_too() -> None:
    """At 256 by default, as the paper has it: beyond that, both precisions give the same."""
    torch.manual_seed(0)
    spec = StyleGAN2Spec(resolution=32, channel_base=512, channel_max=16, z_dim=8, w_dim=8)
    layer = SynthesisLayer(16, 16, resolution=32, up=1, spec=spec)
    x, w = torch.randn(1, 16, 32, 32) * 1e4, torch.randn(1, 8)
    with torch.no_grad():
        exact = layer(x, w)
        with mixed_precision(torch.bfloat16):
            mixed = layer(x, w)
    assert mixed.dtype == torch.bfloat16
    assert float(mixed.abs().max()) == float(exact.abs().max()) == 256


def test_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match="bfloat16"), mixed_precision(torch.float16):
        pass
