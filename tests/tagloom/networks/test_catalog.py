"""Networks by name: the packaged one, a store's own, and clear errors for the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tagloom.artifacts import layout
from tagloom.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound
from tagloom.networks.catalog import builtin_networks, list_networks, open_network
from tagloom.networks.weights import networks_in
from tagloom.store import open_store
from tagloom.store.interface import Store
from tools.photos import SOURCE, TARGET

BUILTIN = Path(__file__).parents[3] / "tagloom" / "networks" / "builtin"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def test_the_packaged_network_is_small_and_whole() -> None:
    assert builtin_networks() == ["photos-32"]
    weights = BUILTIN / "photos-32" / "weights.safetensors"
    assert weights.stat().st_size <= 4_000_000
    assert networks_in(weights) == ["G_ema", "D"]


def test_the_packaged_network_was_trained_on_the_source_photos_alone(store: Store) -> None:
    network = open_network(store, "networks/photos-32").network
    assert network.kimg >= 50
    assert all(photo.name in network.origin for photo in SOURCE)
    assert not any(photo.name in network.origin for photo in TARGET)


def test_a_packaged_network_becomes_one_of_the_store(store: Store) -> None:
    assert [network.id for network in list_networks(store)] == ["photos-32"]
    entry = open_network(store, "networks/photos-32")
    assert store.exists(layout.network_manifest("photos-32"))
    states = entry.load(store, ["G_ema", "D"])
    assert states.keys() == {"G_ema", "D"}
    assert open_network(store, "networks/photos-32").network == entry.network


def test_a_generator_is_loaded_with_its_averaged_weights(store: Store) -> None:
    entry = open_network(store, "networks/photos-32")
    generator = entry.load_generator(store)
    assert generator.spec == entry.generator_spec
    assert entry.generator_spec.resolution == 32
    assert not generator.training
    stored = entry.load(store, ["G_ema"])["G_ema"]
    state = generator.state_dict()
    assert stored
    for name, tensor in stored.items():
        assert torch.equal(state[name], tensor), name
        assert not state[name].requires_grad


def test_damaged_weights_are_not_loaded(store: Store) -> None:
    entry = open_network(store, "networks/photos-32")
    data = bytearray(store.get(entry.weights_key))
    data[-1] ^= 1
    store.put(entry.weights_key, bytes(data))
    with pytest.raises(DataLoss, match=r"The weights of networks/photos-32 are damaged"):
        entry.load(store, ["G_ema"])


def test_a_network_without_its_discriminator_says_so(store: Store) -> None:
    entry = open_network(store, "networks/photos-32")
    alone = entry.network.model_copy(update={"id": "alone", "discriminator": None})
    store.put(layout.network_weights("alone"), store.get(entry.weights_key))
    alone.create(store, layout.network_manifest("alone"), "networks/alone")
    found = open_network(store, "networks/alone")
    assert found.load(store, ["G_ema"]).keys() == {"G_ema"}
    with pytest.raises(FailedPrecondition, match="has no discriminator"):
        found.load(store, ["G_ema", "D"])


def test_an_unknown_network_is_answered_with_what_there_is(store: Store) -> None:
    with pytest.raises(NotFound, match=r"There is no networks/cats; there is networks/photos-32"):
        open_network(store, "networks/cats")
    with pytest.raises(NotFound, match=r"There is no runs/r/snapshots/000001.000"):
        open_network(store, "runs/r/snapshots/000001.000")
    with pytest.raises(InvalidArgument, match="is not a resource name"):
        open_network(store, "../etc/passwd")
