"""Sound checkpoints: every protocol, every form of a tensor, every network."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.plugins.checkpoint_files import Persistent, checkpoint, pickled

ARCHITECTURES = ["stylegan2", "stylegan3-t", "stylegan3-r"]


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_gives_the_same_tensors(
    open_checkpoint: Any, make_network: Any, protocol: int
) -> None:
    network, stored = make_network("stylegan3-t")
    contents = open_checkpoint(checkpoint(protocol, G_ema=stored, D=None))
    assert contents.networks.keys() == {"G_ema"}
    tensors = open_checkpoint.tensors
    assert tensors.keys() == {f"G_ema.{name}" for name in network.state_dict()}
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensors[f"G_ema.{name}"], tensor), name


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_all_networks_of_a_file_come_with_their_arguments(
    open_checkpoint: Any, make_network: Any, architecture: str
) -> None:
    G, stored = make_network(architecture, c_dim=3, img_channels=1)
    D, stored_d = make_network("discriminator", c_dim=3, img_channels=1)
    contents = open_checkpoint(checkpoint(G=stored, D=stored_d, G_ema=stored))
    assert contents.networks.keys() == {"G_ema", "G", "D"}
    assert len(open_checkpoint.tensors) == 2 * len(G.state_dict()) + len(D.state_dict())
    arguments = contents.networks["G_ema"].arguments
    assert arguments["img_resolution"] == 16
    assert arguments["mapping_kwargs"] == {"num_layers": 1}
    assert contents.networks["G_ema"].attributes["mapping"]["w_avg_beta"] == 0.998


def values(values: dict[str, Any], source: str = "") -> Persistent:
    """A module whose parameters are `values`."""
    state = {"_parameters": values, "_buffers": {}, "_modules": {}, "_init_kwargs": {}}
    return Persistent("Module", state, source)


class Reduced:
    """A value that a pickle builds by one call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self._reduced


def test_every_form_of_a_tensor(open_checkpoint: Any) -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    weight = torch.randn(4, 3, 2, 2)
    forms = {
        "plain": base,
        "transposed": base.transpose(0, 2),
        "part": base[:, 1:, ::2],
        "channels_last": weight.to(memory_format=torch.channels_last),
        "parameter": nn.Parameter(base.clone()),
        "constructed": Reduced(nn.Parameter, base, False),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "half": base.half(),
        "bfloat16": base.bfloat16(),
        "double": base.double(),
        "long": base.long(),
        "bool": base > 3,
        "nothing": None,
    }
    open_checkpoint(checkpoint(G_ema=values(forms)))
    tensors = open_checkpoint.tensors
    expected = {**forms, "constructed": base}
    del expected["nothing"]
    assert tensors.keys() == {f"G_ema.{name}" for name in expected}
    for name, tensor in expected.items():
        found = tensors[f"G_ema.{name}"]
        assert isinstance(tensor, torch.Tensor)
        assert found.dtype == tensor.dtype, name
        assert torch.equal(found, tensor), name


def test_numbers_of_numpy_are_numbers(open_checkpoint: Any) -> None:
    arguments = {
        "real": np.float64(0.5),
        "half": np.float16(0.5),
        "big": np.float32(0.5).astype(">f4"),
        "whole": np.int64(-3),
        "byte": np.uint8(200),
        "truth": np.bool_(True),
        "list": [1, (2, 3), {"deep": None}],
        "ordered": OrderedDict(a=1),
    }
    module = Persistent("G", {"_init_kwargs": arguments, "_parameters": {"x": torch.zeros(1)}})
    found = open_checkpoint(checkpoint(G_ema=module)).networks["G_ema"].arguments
    assert found == {
        "real": 0.5,
        "half": 0.5,
        "big": 0.5,
        "whole": -3,
        "byte": 200,
        "truth": True,
        "list": [1, [2, 3], {"deep": None}],
        "ordered": {"a": 1},
    }


def test_numpys_old_and_new_names_are_one(open_checkpoint: Any) -> None:
    module = Persistent("G", {"_init_kwargs": {"x": np.float64(2)}, "_parameters": {}})
    new = pickled({"G_ema": module}, 2)
    for name in (b"numpy._core.multiarray", b"numpy.core.multiarray"):
        data = new.replace(b"numpy._core.multiarray", name)
        assert name in data
        assert open_checkpoint(data).networks["G_ema"].arguments == {"x": 2.0}


def test_what_is_written_here_names_what_official_files_name() -> None:
    """The stand-ins do their work: these bytes are a checkpoint, not a pickle of this test."""
    data = checkpoint(2, G_ema=values({"x": torch.zeros(2)}))
    assert b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n" in data
    assert b"cdnnlib.util\nEasyDict\n" in data
    assert b"ctorch.storage\n_load_from_bytes\n" in data
    with pytest.raises(ModuleNotFoundError, match=r"torch_utils|dnnlib"):
        pickle.loads(data)
