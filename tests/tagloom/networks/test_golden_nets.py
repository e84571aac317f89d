"""Networks against the official implementation's numbers.

Tolerances are what rounding does to the official implementation itself: float32 against float64.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

FORWARD = 3e-5


@pytest.fixture(autouse=True)
def one_seed() -> None:
    torch.manual_seed(0)


def _check_gradients(errors: dict[str, float], *, most: float, share: float, worst: float) -> None:
    """`share` of the arrays below `most`, all below `worst`."""
    assert errors
    assert max(errors.values()) < worst, max(errors.items(), key=lambda item: item[1])
    good = sum(error < most for error in errors.values()) / len(errors)
    assert good >= share, sorted(errors.items(), key=lambda item: -item[1])


def _transform(tx: float, ty: float, degrees: float) -> Tensor:
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = torch.tensor([[cos, sin, tx], [-sin, cos, ty], [0, 0, 1]], dtype=torch.float64)
    return matrix.inverse().to(torch.float32)


def test_parameters_have_the_official_names_and_order(golden_networks: Any) -> None:
    for name, network in (
        ("G", golden_networks.generator()),
        ("D", golden_networks.discriminator()),
    ):
        assert [k for k, _ in network.named_parameters()] == golden_networks.meta["param_names"][
            name
        ]
        count = sum(p.numel() for p in network.parameters())
        assert count == golden_networks.meta["n_params"][name]


def test_designed_filters_equal_the_stored_ones(golden_networks: Any, relative_error: Any) -> None:
    """Buffers that construction computes must not depend on being overwritten by a checkpoint."""
    from tagloom.networks.build import build_from_spec

    stored = golden_networks.under("G/")
    fresh = build_from_spec(golden_networks.generator().spec).state_dict()
    filters = [name for name in stored if name.endswith("_filter")]
    assert filters
    for name in filters:
        assert relative_error(fresh[name], stored[name]) < 1e-6, name


@torch.no_grad()
def test_mapping(golden_networks: Any, relative_error: Any) -> None:
    g = golden_networks
    mapping = g.generator().mapping
    z, c = g["in/z"], g["in/c"]
    assert relative_error(mapping(z, c), g["out/ws_psi1"]) < FORWARD
    assert relative_error(mapping(z, c, truncation_psi=0.7), g["out/ws_psi0.7"]) < FORWARD
    ws = mapping(z, c, truncation_psi=0.5, truncation_cutoff=3)
    assert relative_error(ws, g["out/ws_psi0.5_cutoff3"]) < FORWARD


@torch.no_grad()
def test_images_and_activations(golden_networks: Any, relative_error: Any) -> None:
    g = golden_networks
    network = g.generator()
    z, c = g["in/z"], g["in/c"]
    outputs: dict[str, Tensor] = {}
    for name, module in network.synthesis.named_children():
        module.register_forward_hook(_store(outputs, name))
    assert relative_error(network(z, c), g["out/img_psi1"]) < FORWARD
    features = dict(outputs)
    for name, expected in g.under("out/act/").items():
        channels, height, width = expected.shape
        actual = features[name][0, :channels, :height, :width]
        assert relative_error(actual, expected) < FORWARD, name
    statistics = torch.stack(
        [
            torch.stack([x.mean(), x.std()])
            for name, x in features.items()
            if not name.endswith("_img")
        ]
    )
    assert relative_error(statistics, g["out/act_meanstd"]) < FORWARD
    assert relative_error(network(z, c, truncation_psi=0.7), g["out/img_psi0.7"]) < FORWARD
    if "out/img_noise_none" in g:
        image = network(z, c, noise_mode="none")
        assert relative_error(image, g["out/img_noise_none"]) < FORWARD
    if "out/img_unfused" in g:
        assert relative_error(network(z, c), g["out/img_unfused"]) < FORWARD


def _store(outputs: dict[str, Tensor], name: str) -> Any:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, tuple):  # StyleGAN2 blocks: features and image
            outputs[name] = output[0]
            if output[1] is not None:
                outputs[f"{name}_img"] = output[1]
        else:
            outputs[name] = output

    return hook


@torch.no_grad()
def test_input_transforms(golden_networks: Any, relative_error: Any) -> None:
    g = golden_networks
    if not g.is_stylegan3:
        assert "out/img_transform0" not in g
        return
    network = g.generator()
    for index, (tx, ty, degrees) in enumerate(g.meta["transforms"]):
        network.synthesis.input.transform.copy_(_transform(tx, ty, degrees))
        image = network(g["in/z"][:2], g["in/c"][:2])
        assert relative_error(image, g[f"out/img_transform{index}"]) < FORWARD, index


@torch.no_grad()
def test_running_means(golden_networks: Any, relative_error: Any) -> None:
    g = golden_networks
    network = g.generator()
    before = network.mapping.w_avg.clone()
    network(g["in/z"], g["in/c"])
    assert torch.equal(network.mapping.w_avg, before)
    image = network(g["in/z"], g["in/c"], update_emas=True)
    assert relative_error(image, g["out/ema_img"]) < FORWARD
    assert relative_error(network.mapping.w_avg, g["out/ema_w_avg"]) < FORWARD
    if g.is_stylegan3:
        magnitudes = [b for name, b in network.named_buffers() if name.endswith("magnitude_ema")]
        assert relative_error(torch.stack(magnitudes), g["out/ema_magnitude"]) < FORWARD


@torch.no_grad()
def test_logits_and_features(golden_networks: Any, relative_error: Any) -> None:
    g = golden_networks
    network = g.discriminator()
    outputs: dict[str, Tensor] = {}
    for name, module in network.named_children():
        module.register_forward_hook(_store(outputs, name))
    assert relative_error(network(g["out/img_psi1"], g["in/c"]), g["out/logits_fake"]) < FORWARD
    features = dict(outputs)
    for name, expected in g.under("out/dact/").items():
        channels, height, width = expected.shape
        actual = features[name][0, :channels, :height, :width]
        assert relative_error(actual, expected) < FORWARD, name
    assert relative_error(network(g["in/real"], g["in/c"]), g["out/logits_real"]) < FORWARD
    first = network(g["in/real"][:2], g["in/c"][:2])
    assert relative_error(first, g["out/logits_real_first2"]) < FORWARD


def test_generator_gradients(golden_networks: Any, relative_error: Any) -> None:
    g = golden_networks
    network = g.generator()
    ws = network.mapping(g["in/z"], g["in/c"])
    ws.retain_grad()
    (network.synthesis(ws) * g["in/proj"]).sum().backward()
    parameters = dict(network.named_parameters())
    errors = {"ws": relative_error(ws.grad, g["out/Gproj/grad_ws"])}
    for name, expected in g.under("out/Gproj/grad/").items():
        errors[name] = relative_error(parameters[name].grad, expected)
    norms = [-1.0 if p.grad is None else float(p.grad.double().norm()) for p in parameters.values()]
    for name, norm, expected in zip(
        parameters, norms, g["out/Gproj/gradnorm"].tolist(), strict=True
    ):
        assert norm == pytest.approx(expected, rel=1e-3, abs=1e-12), name
    if g.is_stylegan3:
        _check_gradients(errors, most=2e-4, share=0.8, worst=1e-2)
    else:
        _check_gradients(errors, most=5e-5, share=0.9, worst=3e-3)


def test_path_lengths(golden_networks: Any, relative_error: Any) -> None:
    g = golden_networks
    network = g.generator()
    ws = network.mapping(g["in/z"][:2], g["in/c"][:2])
    images = network.synthesis(ws)
    noise = g["in/pl_noise"] / math.sqrt(images.shape[2] * images.shape[3])
    # StyleGAN2 trains on path lengths: they must be differentiable themselves.
    second_order = not g.is_stylegan3
    (gradient,) = torch.autograd.grad((images * noise).sum(), [ws], create_graph=second_order)
    worst = 1e-2 if g.is_stylegan3 else 3e-3
    assert relative_error(gradient, g["out/pl_grads"]) < worst
    lengths = gradient.square().sum(dim=2).mean(dim=1).sqrt()
    assert relative_error(lengths, g["out/pl_lengths"]) < 1e-3
    if second_order:
        lengths.sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in network.mapping.parameters())


def test_gradient_penalty(golden_networks: Any, relative_error: Any) -> None:
    g = golden_networks
    network = g.discriminator()
    images = g["in/real"].requires_grad_()
    logits = network(images, g["in/c"])
    (gradient,) = torch.autograd.grad(logits.sum(), [images], create_graph=True)
    assert relative_error(gradient, g["out/r1_grad_image"]) < 3e-3
    penalty = gradient.square().sum(dim=(1, 2, 3))
    assert relative_error(penalty, g["out/r1_penalty"]) < 1e-3
    penalty.mean().backward()
    # The last bias only shifts the logits: the penalty cannot depend on it.
    gradients = {name: p.grad for name, p in network.named_parameters()}
    assert any(grad is not None and grad.abs().max() > 0 for grad in gradients.values())


def test_generator_loss_reaches_the_images(golden_networks: Any, relative_error: Any) -> None:
    g = golden_networks
    network = g.discriminator()
    images = g["out/img_psi1"].requires_grad_()
    F.softplus(-network(images, g["in/c"])).mean().backward()
    assert relative_error(images.grad, g["out/dloss_dimg"]) < 3e-3
