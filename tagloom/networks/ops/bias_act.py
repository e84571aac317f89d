"""Bias, activation, gain and clamp, in that order."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["ACTIVATIONS", "bias_act"]


class _Activation(NamedTuple):
    function: Callable[[Tensor, float], Tensor]
    alpha: float  # slope of the leaky ReLU; 0 where it has no meaning
    gain: float  # keeps the second moment of a normal input near 1


ACTIVATIONS: dict[str, _Activation] = {
    "linear": _Activation(lambda x, _: x, 0.0, 1.0),
    "relu": _Activation(lambda x, _: F.relu(x), 0.0, math.sqrt(2)),
    "lrelu": _Activation(lambda x, alpha: F.leaky_relu(x, alpha), 0.2, math.sqrt(2)),
    "tanh": _Activation(lambda x, _: torch.tanh(x), 0.0, 1.0),
    "sigmoid": _Activation(lambda x, _: torch.sigmoid(x), 0.0, 1.0),
    "elu": _Activation(lambda x, _: F.elu(x), 0.0, 1.0),
    "selu": _Activation(lambda x, _: F.selu(x), 0.0, 1.0),
    "softplus": _Activation(lambda x, _: F.softplus(x), 0.0, 1.0),
    "swish": _Activation(lambda x, _: torch.sigmoid(x) * x, 0.0, math.sqrt(2)),
}


def bias_act(
    x: Tensor,
    b: Tensor | None = None,
    *,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """clamp(gain * act(x + b)).

    b: one value for each index of dimension `dim` of x.
    alpha, gain: default to the activation's own.
    clamp: results are limited to [-clamp, clamp]; None: no limit.
    """
    activation = ACTIVATIONS[act]
    alpha = activation.alpha if alpha is None else alpha
    gain = activation.gain if gain is None else gain
    if b is not None:
        x = x + b.reshape([-1 if i == dim else 1 for i in range(x.ndim)])
    x = activation.function(x, alpha)
    if gain != 1:
        x = x * gain
    if clamp is not None:
        x = x.clamp(-clamp, clamp)
    return x
