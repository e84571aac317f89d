"""Weights on disk: the round trip, and everything that can be wrong with a file."""

from __future__ import annotations

import contextlib
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from tagloom.errors import DataLoss, InvalidArgument, NotFound, PermissionDenied, ResourceExhausted
from tagloom.networks.build import build_discriminator, build_generator
from tagloom.networks.weights import (
    load_into,
    load_weights,
    networks_in,
    save_weights,
)

SMALL = {"z_dim": 8, "w_dim": 8, "channel_base": 64, "channel_max": 4}


@pytest.fixture
def generator() -> torch.nn.Module:
    return build_generator("stylegan2", resolution=16, mapping_layers=1, **SMALL)


def test_round_trip_is_exact(tmp_path: Path, generator: torch.nn.Module) -> None:
    discriminator = build_discriminator(resolution=16, channel_base=64, channel_max=4)
    path = tmp_path / "weights.safetensors"
    save_weights(path, {"G_ema": generator, "D": discriminator.state_dict()})
    assert networks_in(path) == ["G_ema", "D"]
    assert [p.name for p in tmp_path.iterdir()] == ["weights.safetensors"]
    loaded = load_weights(path, ["G_ema", "D"])
    other = build_generator("stylegan2", resolution=16, mapping_layers=1, **SMALL)
    load_into(other, loaded["G_ema"])
    for name, value in generator.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
    load_into(discriminator, loaded["D"])


def test_a_tensor_used_twice_is_stored_twice(tmp_path: Path, generator: torch.nn.Module) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(path, {"G_ema": generator, "G": generator})
    loaded = load_weights(path, ["G", "G_ema"])
    assert loaded["G"].keys() == loaded["G_ema"].keys()


def test_missing_file_and_missing_network(tmp_path: Path, generator: torch.nn.Module) -> None:
    with pytest.raises(NotFound, match="There is no weights file"):
        load_weights(tmp_path / "no.safetensors")
    save_weights(tmp_path / "g.safetensors", {"G": generator})
    with pytest.raises(NotFound, match="holds no network D"):
        load_weights(tmp_path / "g.safetensors", ["D"])


def test_unknown_network_names(tmp_path: Path, generator: torch.nn.Module) -> None:
    with pytest.raises(InvalidArgument, match="not the name of a network"):
        save_weights(tmp_path / "x.safetensors", {"G_ma": generator})
    with pytest.raises(InvalidArgument, match="no weights to save"):
        save_weights(tmp_path / "x.safetensors", {})
    assert list(tmp_path.iterdir()) == []


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    save_file({"G_ema.x": torch.tensor([1.0, float("nan")])}, tmp_path / "w.safetensors")
    with pytest.raises(DataLoss, match=r"G_ema\.x has values that are not finite"):
        load_weights(tmp_path / "w.safetensors")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_files_are_clear_errors(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A file cut anywhere is refused; one with a flipped header byte never crashes the reader."""
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / "w.safetensors"
    save_weights(path, {"G_ema": {"a": torch.arange(6.0), "b": torch.ones(2, 2)}})
    content = bytearray(path.read_bytes())
    cut = data.draw(st.integers(0, len(content) - 1))
    (folder / "cut.safetensors").write_bytes(content[:cut])
    with pytest.raises(DataLoss, match="not a sound safetensors file"):
        load_weights(folder / "cut.safetensors")
    content[data.draw(st.integers(0, len(content) - 41))] ^= data.draw(st.integers(1, 255))
    (folder / "flip.safetensors").write_bytes(content)
    # A flipped byte may leave a sound file with other names; anything else is one of ours.
    with contextlib.suppress(DataLoss, NotFound):
        load_weights(folder / "flip.safetensors")


def test_a_pickle_is_refused_unopened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "PWNED",)

    torch.save({"G_ema": Bomb()}, tmp_path / "w.pt")
    with pytest.raises(DataLoss):
        load_weights(tmp_path / "w.pt")
    assert not (tmp_path / "PWNED").exists()


def test_weights_that_do_not_fit_change_nothing(generator: torch.nn.Module) -> None:
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    state = {name: value + 1 for name, value in before.items()}
    name = "synthesis.b4.conv1.weight"
    for wrong, message in (
        ({**state, name: torch.zeros(1)}, "has the shape"),
        ({**state, name: state[name].double()}, "has the type"),
        ({**state, "stranger": torch.zeros(1)}, "is unknown"),
        ({k: v for k, v in state.items() if k != name}, "is missing"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            load_into(generator, wrong)
    for key, value in generator.state_dict().items():
        assert torch.equal(value, before[key])


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file of this process may grow beyond: as on a full disk, writing fails halfway."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_said_and_leaves_the_old_file(
    tmp_path: Path, generator: torch.nn.Module
) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(path, {"G": generator})
    content = path.read_bytes()
    with (
        file_size_limit(len(content) // 2),
        pytest.raises(ResourceExhausted, match="make room on the disk"),
    ):
        save_weights(path, {"G": generator})
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_said(
    tmp_path: Path, generator: torch.nn.Module
) -> None:
    with pytest.raises(PermissionDenied, match="choose another folder"):
        save_weights(tmp_path / "absent" / "weights.safetensors", {"G": generator})


def test_the_mode_is_the_umasks(tmp_path: Path, generator: torch.nn.Module) -> None:
    before = os.umask(0o027)
    try:
        save_weights(tmp_path / "weights.safetensors", {"G": generator})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "weights.safetensors").stat().st_mode) == 0o640
