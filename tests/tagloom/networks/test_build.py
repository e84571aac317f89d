"""Building networks from settings and specs, their calls, and settings that cannot be."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from tagloom.errors import InvalidArgument
from tagloom.networks.build import (
    build_discriminator,
    build_from_spec,
    build_generator,
    discriminator_spec,
    generator_spec,
)
from tagloom.networks.official import (
    discriminator_spec_from_arguments,
    generator_spec_from_arguments,
)
from tagloom.networks.spec import DiscriminatorSpec, StyleGAN3Spec, generator_spec_from_json

SMALL: dict[str, Any] = {"z_dim": 8, "w_dim": 12, "channel_base": 128, "channel_max": 4}


@pytest.mark.parametrize("architecture", ["stylegan3-t", "stylegan3-r", "stylegan2"])
@pytest.mark.parametrize(("resolution", "c_dim"), [(16, 0), (32, 3), (64, 0)])
def test_calls_and_shapes(architecture: Any, resolution: int, c_dim: int) -> None:
    torch.manual_seed(1)
    g = build_generator(architecture, resolution=resolution, c_dim=c_dim, **SMALL)
    d = build_discriminator(resolution=resolution, c_dim=c_dim, channel_base=128, channel_max=4)
    z = torch.randn(4, 8)
    c = torch.eye(3)[[0, 1, 2, 0]] if c_dim else None
    ws = g.mapping(z, c)
    assert ws.shape == (4, g.num_ws, 12)
    images = g(z, c)
    assert images.shape == (4, 3, resolution, resolution)
    assert torch.equal(images, g.synthesis(ws))
    assert torch.isfinite(images).all()
    logits = d(images, c)
    assert logits.shape == (4, 1)
    logits.mean().backward()
    without = [n for n, p in g.named_parameters() if p.grad is None]
    assert all("noise_strength" not in n for n in without)
    assert without == []


@pytest.mark.parametrize("architecture", ["stylegan3-t", "stylegan3-r", "stylegan2"])
def test_a_sample_does_not_depend_on_its_batch(architecture: Any) -> None:
    g = build_generator(architecture, resolution=16, **SMALL)
    z = torch.randn(3, 8)
    with torch.no_grad():
        together = g(z)
        alone = torch.cat([g(z[i : i + 1]) for i in range(3)])
    assert float((together - alone).abs().max() / alone.abs().max()) < 1e-5


def test_random_noise_is_random_and_constant_noise_is_not() -> None:
    g = build_generator("stylegan2", resolution=16, **SMALL)
    z = torch.randn(2, 8)
    with torch.no_grad():
        for name, parameter in g.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(1.0)
        assert torch.equal(g(z, noise_mode="const"), g(z, noise_mode="const"))
        assert not torch.equal(g(z, noise_mode="random"), g(z, noise_mode="random"))
        assert not torch.equal(g(z, noise_mode="none"), g(z, noise_mode="const"))
    with pytest.raises(ValueError, match="noise_mode"):
        g(z, noise_mode="loud")


def test_inputs_of_the_wrong_shape() -> None:
    g = build_generator("stylegan3-t", resolution=16, c_dim=3, **SMALL)
    with pytest.raises(ValueError, match=r"z must have the shape \[N, 8\]"):
        g(torch.randn(2, 9), torch.eye(3)[:2])
    with pytest.raises(ValueError, match=r"c must have the shape \[N, 3\], not None"):
        g(torch.randn(2, 8))
    d = build_discriminator(resolution=16, channel_base=64, channel_max=4)
    with pytest.raises(ValueError, match="img must have the shape"):
        d(torch.randn(2, 3, 32, 32))
    with pytest.raises(ValueError, match="cannot be divided into groups"):
        d(torch.randn(6, 3, 16, 16))


@pytest.mark.parametrize("frozen", [0, 1, 3, 10])
def test_frozen_layers_do_not_train_but_are_saved(frozen: int) -> None:
    d = build_discriminator(resolution=16, channel_base=64, channel_max=4, freeze_layers=frozen)
    free = build_discriminator(resolution=16, channel_base=64, channel_max=4)
    layers = ["b16.fromrgb", "b16.conv0", "b16.conv1", "b16.skip", "b8.conv0", "b8.conv1"]
    trainable = {name.rpartition(".")[0] for name, _ in d.named_parameters()}
    for index, layer in enumerate(layers):
        assert (layer in trainable) == (index >= frozen)
    assert d.state_dict().keys() == free.state_dict().keys()


@pytest.mark.parametrize("architecture", ["stylegan3-t", "stylegan3-r", "stylegan2"])
def test_a_network_can_be_rebuilt_from_json(architecture: Any) -> None:
    spec = generator_spec(architecture, resolution=16, c_dim=2, **SMALL)
    again = generator_spec_from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    shapes = {k: v.shape for k, v in build_from_spec(spec).state_dict().items()}
    assert {k: v.shape for k, v in build_from_spec(again).state_dict().items()} == shapes
    critic = discriminator_spec(resolution=16, freeze_layers=2)
    assert DiscriminatorSpec.from_json(json.loads(json.dumps(critic.to_json()))) == critic


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "stylegan4"},
        {"architecture": None},
        {"resolution": "16"},
        {"resolution": True},
        {"resolution": 24},
        {"channel_base": 0},
        {"z_dim": -1},
        {"w_dim": 2.5},
        {"conv_clamp": "high"},
        {"c_dim": None},
        {"use_radial_filters": 1},
        {"mapping_lr_multiplier": float("nan")},
        {"magnitude_ema_beta": float("inf")},
        {"colour": "blue"},
    ],
)
def test_impossible_specs_are_one_clear_error(change: dict[str, Any]) -> None:
    values = {**generator_spec("stylegan3-t", resolution=16).to_json(), **change}
    with pytest.raises(InvalidArgument) as caught:
        generator_spec_from_json(values)
    assert next(iter(change)) in caught.value.message
    assert caught.value.message.endswith(".")


def test_a_missing_setting_is_named() -> None:
    values = generator_spec("stylegan2", resolution=16).to_json()
    del values["resolution"]
    with pytest.raises(InvalidArgument, match=r"missing: \['resolution'\]"):
        generator_spec_from_json(values)


def test_capacity_defaults_are_the_official_ones() -> None:
    t = generator_spec("stylegan3-t", resolution=256)
    r = generator_spec("stylegan3-r", resolution=256)
    two = generator_spec("stylegan2", resolution=256)
    assert (t.channel_base, t.channel_max, t.mapping_layers) == (32768, 512, 2)
    assert (r.channel_base, r.channel_max, r.mapping_layers) == (65536, 1024, 2)
    assert (two.channel_base, two.channel_max, two.mapping_layers) == (32768, 512, 8)
    assert isinstance(r, StyleGAN3Spec)
    assert r.conv_kernel == 1
    assert r.use_radial_filters


def test_arguments_of_published_checkpoints() -> None:
    spec = generator_spec_from_arguments(
        "stylegan2",
        {
            "z_dim": 64,
            "w_dim": 64,
            "c_dim": 0,
            "img_resolution": 32,
            "img_channels": 3,
            "mapping_kwargs": {"num_layers": 2},
            "num_fp16_res": 4,
            "architecture": "resnet",
        },
    )
    assert spec == generator_spec(
        "stylegan2",
        resolution=32,
        z_dim=64,
        w_dim=64,
        mapping_layers=2,
        block_architecture="resnet",
    )
    critic = discriminator_spec_from_arguments(
        {"img_resolution": 32, "block_kwargs": {"freeze_layers": 3}, "epilogue_kwargs": {}}
    )
    assert critic == discriminator_spec(resolution=32, freeze_layers=3)
    with pytest.raises(InvalidArgument, match=r"mapping_kwargs\.layer_features"):
        generator_spec_from_arguments(
            "stylegan3", {"img_resolution": 32, "mapping_kwargs": {"layer_features": 12}}
        )
    with pytest.raises(InvalidArgument, match="unknown settings"):
        generator_spec_from_arguments("stylegan3", {"img_resolution": 32, "attention": True})
