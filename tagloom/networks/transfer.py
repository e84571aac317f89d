"""Transfer learning: the weights of one network in another of the same architecture.

At the same resolution and with the same labels everything is copied. Otherwise:

* Another resolution. StyleGAN2's generator and the discriminator are made of one block for each
  resolution, called by it: those of the resolutions that both have are copied. StyleGAN3 has the
  same number of layers whatever the resolution, and each works at its own bandwidth: layers are
  matched by their place, so that each continues to follow the one that it was trained after. The
  mapping network is copied always. Filters follow from the resolution and are never copied.
* Labels left out. The label's share in the mapping network's first layer becomes part of its bias,
  for the mean of the labels' embeddings; and D's score, a projection onto the label's embedding,
  becomes its exact mean over the labels.
* Labels come in. Embeddings are new, and G begins by not minding them: its first layer has weights
  of 0 for them. D's new projection gives every label the score of the start (where there are more
  labels than channels, about so; exactly so on average).
* Another number of labels. Nothing says which of the new ones is which of the old: embeddings are
  new, the rest is copied. The same number of labels is taken for the same labels.

A layer is copied as a whole or not at all, so that no trained weights meet foreign styles.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tagloom.networks.build import build_from_spec
from tagloom.networks.layers import normalize_second_moment
from tagloom.networks.mapping import MappingNetwork
from tagloom.networks.spec import DiscriminatorSpec, GeneratorSpec
from tagloom.networks.weights import load_into

__all__ = ["Transferred", "transfer_weights"]

State = Mapping[str, Tensor]

# Buffers that follow from the network's settings.
_DERIVED = ("resample_filter", "up_filter", "down_filter", "transform")
# `synthesis.L3_52_512.weight`: the third layer, of 52 samples and 512 channels.
_STYLEGAN3_LAYER = re.compile(r"synthesis\.L(\d+)_\d+_\d+\.")


@dataclass(frozen=True, slots=True)
class Transferred:
    """What a network took over. Names are the target's; filters do not count."""

    copied: tuple[str, ...]
    """tensors (parameters and running means) as they were"""
    adapted: tuple[str, ...]
    """tensors computed from the start's, because labels were left out or came in"""
    fresh: tuple[str, ...]
    """tensors that begin at random"""
    parameters: int
    """numbers in all trainable and frozen tensors"""
    parameters_taken: int
    """of them, those copied or adapted"""

    @property
    def complete(self) -> bool:
        """Whether nothing begins at random."""
        return not self.fresh


@torch.no_grad()
def transfer_weights(
    state: State,
    source: GeneratorSpec | DiscriminatorSpec,
    target: nn.Module,
    *,
    what: str = "the weights",
) -> Transferred:
    """Copies into `target` what of a network's `state` fits; returns what was and was not taken.

    source: the network that `state` belongs to, of the target's architecture.
    what: how errors call the weights.
    Raises InvalidArgument (WEIGHTS_DO_NOT_FIT) if `state` is not a state of `source`.
    """
    network = build_from_spec(source)
    load_into(network, state, what=what)
    given = {_placed(name): value for name, value in network.state_dict().items()}
    adapted = _for_other_labels(given, source, target)
    given |= adapted
    groups: defaultdict[str, list[str]] = defaultdict(list)
    tensors = {
        name: value
        for name, value in target.state_dict().items()
        if name.rsplit(".", 1)[-1] not in _DERIVED
    }
    for name in tensors:
        groups[_layer(name)].append(name)
    taken: list[str] = []
    for names in groups.values():
        values = {name: given.get(_placed(name)) for name in names}
        if all(v is not None and v.shape == tensors[name].shape for name, v in values.items()):
            for name, value in values.items():
                assert value is not None
                tensors[name].copy_(value)
            taken += names
    # Parameters, and those that Freeze-D has made buffers.
    weights = {name for name, _ in target.named_parameters()}
    counted = {
        name: value
        for name, value in tensors.items()
        if name in weights or name.endswith((".weight", ".bias"))
    }
    chosen = set(taken)
    return Transferred(
        copied=tuple(name for name in taken if _placed(name) not in adapted),
        adapted=tuple(name for name in taken if _placed(name) in adapted),
        fresh=tuple(name for name in tensors if name not in chosen),
        parameters=sum(value.numel() for value in counted.values()),
        parameters_taken=sum(v.numel() for name, v in counted.items() if name in chosen),
    )


def _placed(name: str) -> str:
    """The name without what depends on the resolution."""
    return _STYLEGAN3_LAYER.sub(r"synthesis.L\1.", name)


def _layer(name: str) -> str:
    """The layer that a tensor belongs to; its styles are part of it."""
    return name.rsplit(".", 1)[0].removesuffix(".affine")


def _for_other_labels(
    given: State, source: GeneratorSpec | DiscriminatorSpec, target: nn.Module
) -> dict[str, Tensor]:
    mapping = getattr(target, "mapping", None)  # a discriminator without labels has none
    c_dim = 0 if mapping is None else mapping.c_dim
    if source.c_dim > 0 and c_dim == 0:
        if isinstance(source, DiscriminatorSpec):
            return _mean_score(given, source)
        return _mean_embedding(given, source)
    if source.c_dim == 0 and c_dim > 0:
        assert isinstance(mapping, MappingNetwork)
        if isinstance(source, DiscriminatorSpec):
            return _same_score(given, mapping)
        return _unminded_embedding(given, source)
    return {}


def _mean_embedding(given: State, source: GeneratorSpec) -> dict[str, Tensor]:
    """The mapping network's first layer for z alone, the label's embedding being its mean.

    The layer divides by the square root of its inputs' number, which becomes smaller.
    """
    weight, bias = given["mapping.fc0.weight"], given["mapping.fc0.bias"]
    embeddings_CW = (given["mapping.embed.weight"] / math.sqrt(source.c_dim)).t()
    embeddings_CW = normalize_second_moment(embeddings_CW + given["mapping.embed.bias"])
    inputs = source.z_dim + source.w_dim
    return {
        "mapping.fc0.weight": weight[:, : source.z_dim] * math.sqrt(source.z_dim / inputs),
        "mapping.fc0.bias": bias
        + weight[:, source.z_dim :] @ embeddings_CW.mean(dim=0) / math.sqrt(inputs),
    }


def _mean_score(given: State, source: DiscriminatorSpec) -> dict[str, Tensor]:
    """D's last layer for the mean score over all labels: the score is linear in the embedding."""
    width = given["b4.out.bias"].shape[0]
    mapping = MappingNetwork(
        z_dim=0,
        c_dim=source.c_dim,
        w_dim=width,
        num_ws=None,
        num_layers=source.mapping_layers,
        lr_multiplier=source.mapping_lr_multiplier,
        w_avg_beta=None,
    )
    prefix = "mapping."
    mapping.load_state_dict(
        {name.removeprefix(prefix): v for name, v in given.items() if name.startswith(prefix)}
    )
    mean_K = mapping(None, torch.eye(source.c_dim)).mean(dim=0) / math.sqrt(width)
    return {
        "b4.out.weight": mean_K[None] @ given["b4.out.weight"],
        "b4.out.bias": (mean_K @ given["b4.out.bias"])[None],
    }


def _unminded_embedding(given: State, source: GeneratorSpec) -> dict[str, Tensor]:
    """The mapping network's first layer with weights of 0 for the label's embedding: not for long.

    The layer divides by the square root of its inputs' number, which becomes larger.
    """
    weight = given["mapping.fc0.weight"] * math.sqrt((source.z_dim + source.w_dim) / source.z_dim)
    return {
        "mapping.fc0.weight": torch.cat([weight, weight.new_zeros(len(weight), source.w_dim)], 1)
    }


def _same_score(given: State, mapping: MappingNetwork) -> dict[str, Tensor]:
    """D's last layer, for the score that it has, whatever the label.

    The score becomes a projection onto what `mapping` makes of the label: one row for each of its
    channels. All rows are the old one, times the v of least length whose projections are 1; where
    there are more labels than channels, as near 1 as can be, and 1 on average.
    """
    labels_CK = mapping(None, torch.eye(mapping.c_dim))
    wanted_C1 = torch.full([len(labels_CK), 1], math.sqrt(labels_CK.shape[1]))
    v_K1 = torch.linalg.lstsq(labels_CK.double(), wanted_C1.double(), driver="gelsd").solution
    # Of more labels than channels the least squares solution scores too low.
    v_K1 = (v_K1 * (wanted_C1.sum() / (labels_CK.double() @ v_K1).sum())).to(wanted_C1.dtype)
    return {
        "b4.out.weight": v_K1 @ given["b4.out.weight"],
        "b4.out.bias": v_K1[:, 0] * given["b4.out.bias"],
    }
