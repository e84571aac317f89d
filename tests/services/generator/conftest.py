"""Small networks with random weights, stored as any network is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.network import Network
from tagloom.networks.build import build_generator
from tagloom.networks.spec import Architecture
from tagloom.networks.weights import save_weights
from tagloom.store import Store, open_store

Publish = Callable[..., None]


@pytest.fixture
def publish_network() -> Publish:
    """`publish` below."""
    return publish


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store for one test."""
    return open_store(str(tmp_path / "store"))


@pytest.fixture(scope="session")
def network_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with the networks `t` (StyleGAN3-T), `two` (StyleGAN2) and `classes` (with labels),
    of 16 pixels."""
    store = open_store(str(tmp_path_factory.mktemp("networks")))
    publish(store, "t", "stylegan3-t", resolution=16)
    publish(store, "two", "stylegan2", resolution=16)
    publish(store, "classes", "stylegan2", resolution=16, c_dim=3)
    return store


def publish(
    store: Store,
    network_id: str,
    architecture: Architecture,
    *,
    resolution: int,
    c_dim: int = 0,
    seed: int = 0,
    broken: bool = False,
) -> None:
    """Store a network with random weights; `broken`: they give images that are not numbers."""
    torch.manual_seed(seed)
    generator = build_generator(
        architecture,
        resolution=resolution,
        z_dim=16,
        w_dim=16,
        c_dim=c_dim,
        channel_base=128,
        channel_max=8,
    )
    with torch.no_grad():
        generator.get_buffer("mapping.w_avg").normal_()  # so that truncation shows
        if architecture == "stylegan3-t":
            # Fresh, it is nearly gray: its last layer, which makes the colours, is made stronger.
            list(generator.synthesis.children())[-1].weight.mul_(60)
        if broken:
            next(generator.synthesis.parameters()).fill_(3e38)
    path = Path(store.url.removeprefix("file://")).parent / f"{network_id}.safetensors"
    save_weights(path, {"G_ema": generator})
    data = path.read_bytes()
    store.put(layout.network_weights(network_id), data)
    Network(
        id=network_id,
        create_time=now(),
        architecture=architecture,
        resolution=resolution,
        generator=generator.spec.to_json(),  # type: ignore[union-attr, operator]
        origin="random weights of a test",
        license="Apache-2.0",
        weights_sha256=hashlib.sha256(data).hexdigest(),
    ).create(store, layout.network_manifest(network_id), f"networks/{network_id}")
