"""Layers with equalised learning rate (Karras et al. 2018, arXiv 1710.10196, section 4.1).

Weights are stored with unit variance and scaled when used, so that Adam's steps mean the same in
every layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tagloom.networks.ops.bias_act import ACTIVATIONS, bias_act
from tagloom.networks.ops.conv2d_resample import conv2d_resample
from tagloom.networks.ops.precision import compute_dtype
from tagloom.networks.ops.upfirdn2d import setup_filter

__all__ = ["Conv2dLayer", "FullyConnectedLayer", "activate", "normalize_second_moment"]


def normalize_second_moment(x: Tensor, *, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x of any shape, scaled so that its mean square along `dim` is 1; `eps` keeps zeros zero."""
    return x * (x.square().mean(dim=dim, keepdim=True) + eps).rsqrt()


class FullyConnectedLayer(nn.Module):
    """activation(x @ weight + bias), [N, in_features] to [N, out_features]."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: str = "linear",
        lr_multiplier: float = 1.0,
        weight_init: float = 1.0,
        bias_init: float | Sequence[float] = 0.0,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.weight = nn.Parameter(
            torch.randn([out_features, in_features]) * (weight_init / lr_multiplier)
        )
        bias = torch.as_tensor(bias_init, dtype=torch.float32).expand(out_features)
        self.bias = nn.Parameter(bias.clone() / lr_multiplier)
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        # The gain goes to whichever operand is smaller.
        w = self.weight.to(x.dtype) * self.weight_gain
        b = self.bias.to(x.dtype)
        if self.bias_gain != 1:
            b = b * self.bias_gain
        y = F.linear(x, w, b)
        return y if self.activation == "linear" else bias_act(y, act=self.activation)


class Conv2dLayer(nn.Module):
    """activation(conv(x) + bias) with an up- or downsampling folded in, [N, I, H, W] to NCHW."""

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int,
        bias: bool = True,
        activation: str = "linear",
        up: int = 1,
        down: int = 1,
        resample_filter: Sequence[int] = (1, 3, 3, 1),
        conv_clamp: float | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.up = up
        self.down = down
        self.conv_clamp = conv_clamp
        self.padding = kernel_size // 2
        self.weight_gain = 1 / math.sqrt(in_channels * kernel_size**2)
        self.register_buffer("resample_filter", setup_filter(list(resample_filter)))
        weight = torch.randn([out_channels, in_channels, kernel_size, kernel_size])
        offset = torch.zeros([out_channels]) if bias else None
        # Frozen weights are buffers: no optimiser sees them, every checkpoint keeps them.
        if trainable:
            self.weight = nn.Parameter(weight)
            self.bias = None if offset is None else nn.Parameter(offset)
        else:
            self.register_buffer("weight", weight)
            self.register_buffer("bias", offset)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        dtype = compute_dtype()
        if dtype is not None:
            x = x.to(dtype, memory_format=torch.channels_last)
        x = conv2d_resample(
            x,
            self.weight.to(x.dtype) * self.weight_gain,
            self.resample_filter,
            up=self.up,
            down=self.down,
            padding=self.padding,
            # An upsampling layer convolves, the others correlate: as the field's weights expect.
            flip_weight=self.up == 1,
        )
        return activate(x, self.bias, self.activation, gain, self.conv_clamp)


def activate(
    x: Tensor, bias: Tensor | None, activation: str, gain: float, clamp: float | None
) -> Tensor:
    """`bias_act` whose gain multiplies the activation's own, and whose clamp scales with it."""
    return bias_act(
        x,
        None if bias is None else bias.to(x.dtype),
        act=activation,
        gain=ACTIVATIONS[activation].gain * gain,
        clamp=None if clamp is None else clamp * gain,
    )
