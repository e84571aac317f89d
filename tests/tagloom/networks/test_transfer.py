"""Transfer: everything at the same size, what fits at another, means where labels were."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from tagloom.errors import InvalidArgument
from tagloom.networks.build import build_from_spec, discriminator_spec, generator_spec
from tagloom.networks.spec import DiscriminatorSpec, GeneratorSpec
from tagloom.networks.transfer import Transferred, transfer_weights

SMALL: dict[str, Any] = {"z_dim": 8, "w_dim": 8, "channel_base": 256, "channel_max": 8}


def generator(architecture: Any, resolution: int = 16, **settings: Any) -> GeneratorSpec:
    return generator_spec(architecture, resolution=resolution, **{**SMALL, **settings})


def discriminator(resolution: int = 16, **settings: Any) -> DiscriminatorSpec:
    return discriminator_spec(
        resolution=resolution, **{"channel_base": 128, "channel_max": 8, **settings}
    )


def start(spec: GeneratorSpec | DiscriminatorSpec) -> nn.Module:
    """A network none of whose tensors has the value that it begins with."""
    torch.manual_seed(1)
    network = build_from_spec(spec)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        for name, buffer in network.named_buffers():
            if name.endswith(("w_avg", "magnitude_ema")):
                buffer.add_(0.25)
    return network


def transferred(
    spec: GeneratorSpec | DiscriminatorSpec, **changes: Any
) -> tuple[nn.Module, nn.Module, Transferred]:
    source = start(spec)
    torch.manual_seed(2)
    target = build_from_spec(dataclasses.replace(spec, **changes))
    return source, target, transfer_weights(source.state_dict(), spec, target)


@pytest.mark.parametrize(
    "spec",
    [
        generator("stylegan2"),
        generator("stylegan2", block_architecture="resnet"),
        generator("stylegan3-t"),
        discriminator(),
        discriminator(block_architecture="skip"),
    ],
    ids=lambda spec: f"{type(spec).__name__}-{getattr(spec, 'block_architecture', '')}",
)
def test_at_the_same_resolution_everything_is_taken(spec: Any) -> None:
    source, target, result = transferred(spec)
    assert result.complete
    assert result.adapted == ()
    assert result.parameters == result.parameters_taken
    assert result.parameters == sum(p.numel() for p in target.parameters())
    state = source.state_dict()
    for name, value in target.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_frozen_layers_are_taken_like_others() -> None:
    source, target, result = transferred(discriminator(), freeze_layers=3)
    assert result.complete
    assert "b16.conv0.weight" in dict(target.named_buffers())
    assert torch.equal(target.b16.conv0.weight, source.b16.conv0.weight)  # type: ignore[union-attr]
    assert result.parameters == result.parameters_taken


@pytest.mark.parametrize(("before", "after"), [(16, 32), (32, 16)])
def test_blocks_of_common_resolutions_are_taken(before: int, after: int) -> None:
    spec = generator("stylegan2", before)
    source, target, result = transferred(spec, resolution=after)
    assert all(name.startswith("synthesis.b32.") for name in result.fresh)
    assert "synthesis.b16.conv1.weight" in result.copied
    assert "mapping.w_avg" in result.copied
    assert bool(result.fresh) == (after == 32)
    # At the common resolutions the features are the same.
    z = torch.randn(2, 8)
    ws, state = source.mapping(z, None), {}  # type: ignore[operator]
    for name, network in (("source", source), ("target", target)):
        network.synthesis.b8.register_forward_hook(  # type: ignore[union-attr, operator]
            lambda module, inputs, output, name=name: state.update({name: output[0]})
        )
        network.synthesis(ws[:, :1].repeat(1, network.num_ws, 1))  # type: ignore[operator]
    assert torch.allclose(state["source"], state["target"], atol=1e-6)


@pytest.mark.parametrize(("before", "after"), [(16, 32), (32, 16)])
def test_a_discriminator_begins_anew_where_the_colours_come_in(before: int, after: int) -> None:
    spec = discriminator(before)
    _, target, result = transferred(spec, resolution=after)
    fresh = {name.split(".")[0] for name in result.fresh}
    layers = {name.rsplit(".", 1)[0] for name in result.fresh}
    if after == 32:
        assert fresh == {"b32"}
    else:
        assert layers == {"b16.fromrgb"}
    assert result.parameters_taken < result.parameters
    assert set(result.copied) | set(result.fresh) == {
        name for name in target.state_dict() if not name.endswith("resample_filter")
    }


@pytest.mark.parametrize(("before", "after"), [(16, 32), (32, 16)])
def test_layers_of_stylegan3_are_matched_by_their_place(before: int, after: int) -> None:
    spec = generator("stylegan3-t", before, channel_base=128, channel_max=8)
    source, target, result = transferred(spec, resolution=after)
    assert 0 < result.parameters_taken < result.parameters
    assert "mapping.fc0.weight" in result.copied
    assert "synthesis.input.weight" in result.copied
    state = {
        name.split("_")[0] + "." + name.split(".", 2)[-1]: value
        for name, value in source.state_dict().items()
        if name.startswith("synthesis.L")
    }
    mine = target.state_dict()
    for name in result.copied:
        if name.startswith("synthesis.L"):
            key = name.split("_")[0] + "." + name.split(".", 2)[-1]
            assert torch.equal(mine[name], state[key])
    # A layer comes as a whole, and filters are the resolution's own.
    taken = {name.split(".")[1] for name in result.copied if name.startswith("synthesis.L")}
    assert not taken & {name.split(".")[1] for name in result.fresh if ".L" in name}
    reference = build_from_spec(dataclasses.replace(spec, resolution=after)).state_dict()
    filters = [name for name in mine if name.endswith("_filter")]
    assert filters
    assert all(torch.equal(mine[name], reference[name]) for name in filters)
    with torch.no_grad():
        assert torch.isfinite(target(torch.randn(1, 8), None)).all()


@pytest.mark.parametrize("architecture", ["stylegan2", "stylegan3-t"])
def test_a_conditional_generator_becomes_the_one_of_its_mean_label(architecture: str) -> None:
    spec = generator(architecture, c_dim=3)
    source, target, result = transferred(spec, c_dim=0)
    assert result.complete
    assert set(result.adapted) == {"mapping.fc0.weight", "mapping.fc0.bias"}
    z = torch.randn(4, 8)
    # The mean of the embeddings, put in by hand where a label's embedding would be.
    mapping: Any = source.mapping
    embeddings = []
    for label in torch.eye(3):
        embedded = mapping.embed(label[None])
        embeddings.append(embedded * (embedded.square().mean() + 1e-8).rsqrt())
    x = z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
    x = torch.cat([x, torch.stack(embeddings).mean(dim=0).expand(4, -1)], dim=1)
    for index in range(mapping.num_layers):
        x = getattr(mapping, f"fc{index}")(x)
    ws = target.mapping(z, None)  # type: ignore[operator]
    assert torch.allclose(ws[:, 0], x, atol=1e-5)


def test_a_conditional_discriminator_becomes_its_mean_over_labels() -> None:
    source, target, result = transferred(discriminator(c_dim=3), c_dim=0)
    assert result.complete
    assert set(result.adapted) == {"b4.out.weight", "b4.out.bias"}
    images = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        scores = [source(images, label.expand(4, -1)) for label in torch.eye(3)]
        assert torch.allclose(target(images, None), torch.stack(scores).mean(dim=0), atol=1e-5)


@pytest.mark.parametrize("architecture", ["stylegan2", "stylegan3-t"])
def test_a_generator_that_gets_labels_begins_by_not_minding_them(architecture: str) -> None:
    source, target, result = transferred(generator(architecture), c_dim=3)
    assert result.adapted == ("mapping.fc0.weight",)
    assert {name.rsplit(".", 1)[0] for name in result.fresh} == {"mapping.embed"}
    z = torch.randn(3, 8)
    with torch.no_grad():
        assert torch.allclose(target(z, torch.eye(3)), source(z, None), atol=1e-4)
    # And they can be learnt: the weights that are 0 have a gradient, which depends on the label.
    images = target(z[:1], torch.eye(3)[:1])
    (gradient,) = torch.autograd.grad(images.square().sum(), target.mapping.fc0.weight)  # type: ignore[union-attr]
    assert (gradient[:, 8:] != 0).any()


@pytest.mark.parametrize("c_dim", [1, 3, 8])
def test_a_discriminator_that_gets_labels_begins_with_the_score_of_its_start(c_dim: int) -> None:
    source, target, result = transferred(discriminator(), c_dim=c_dim)
    assert result.adapted == ("b4.out.weight", "b4.out.bias")
    assert {name.split(".")[0] for name in result.fresh} == {"mapping"}
    images = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        expected = source(images, None)
        for label in torch.eye(c_dim):
            scores = target(images, label.expand(4, -1))
            assert torch.allclose(scores, expected, rtol=1e-3, atol=1e-3), label


def test_with_more_labels_than_channels_the_mean_score_is_that_of_the_start() -> None:
    source, target, _ = transferred(discriminator(), c_dim=40)
    images = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        scores = torch.stack([target(images, label.expand(4, -1)) for label in torch.eye(40)])
        assert torch.allclose(scores.mean(dim=0), source(images, None), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("spec", [generator("stylegan2", c_dim=3), discriminator(c_dim=3)])
def test_another_number_of_labels_leaves_all_but_the_embeddings(spec: Any) -> None:
    source, target, result = transferred(spec, c_dim=5)
    assert set(result.fresh) == {"mapping.embed.weight", "mapping.embed.bias"}
    assert result.adapted == ()
    state = source.state_dict()
    for name, value in target.state_dict().items():
        if not name.startswith("mapping.embed."):
            assert torch.equal(value, state[name]), name


def test_weights_that_are_not_the_sources_are_refused() -> None:
    spec = generator("stylegan2")
    state = start(spec).state_dict()
    del state["mapping.fc0.bias"]
    target = build_from_spec(spec)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(InvalidArgument, match=r"fc0\.bias is missing"):
        transfer_weights(state, spec, target, what="The weights of networks/x")
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())
