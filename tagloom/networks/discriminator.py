"""The StyleGAN2 discriminator, which StyleGAN3 keeps.

Source: arXiv 1912.04958, section 4 and figure 7; conditioning by projection onto an embedded label:
StyleGAN2-ADA (2006.06676), appendix C.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tagloom.networks.layers import Conv2dLayer, FullyConnectedLayer
from tagloom.networks.mapping import MappingNetwork
from tagloom.networks.ops.minibatch_std import minibatch_std
from tagloom.networks.ops.precision import mixed_precision
from tagloom.networks.ops.upfirdn2d import downsample2d, setup_filter
from tagloom.networks.spec import DiscriminatorSpec

__all__ = ["Discriminator", "DiscriminatorBlock", "DiscriminatorEpilogue"]


class DiscriminatorBlock(nn.Module):
    """Two convolutions, the second halving the resolution; in_channels 0: the first block."""

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        tmp_channels: int,
        out_channels: int,
        *,
        first_layer: int,
        spec: DiscriminatorSpec,
    ) -> None:
        """first_layer: number of layers before this block, for freezing."""
        super().__init__()
        self.in_channels = in_channels
        self.architecture = spec.block_architecture
        self.register_buffer("resample_filter", setup_filter(list(spec.resample_filter)))
        self.num_layers = 0

        def convolution(
            in_: int, out: int, kernel: int, down: int = 1, bias: bool = True
        ) -> Conv2dLayer:
            trainable = first_layer + self.num_layers >= spec.freeze_layers
            self.num_layers += 1
            return Conv2dLayer(
                in_,
                out,
                kernel_size=kernel,
                bias=bias,
                activation=spec.activation if bias else "linear",
                down=down,
                resample_filter=spec.resample_filter,
                # Of the layers with a clamp, the shortcut is none: its result is only added.
                conv_clamp=spec.conv_clamp if bias else None,
                trainable=trainable,
            )

        self.has_fromrgb = in_channels == 0 or self.architecture == "skip"
        if self.has_fromrgb:
            self.fromrgb = convolution(spec.img_channels, tmp_channels, 1)
        self.conv0 = convolution(tmp_channels, tmp_channels, 3)
        self.conv1 = convolution(tmp_channels, out_channels, 3, down=2)
        if self.architecture == "resnet":
            self.skip = convolution(tmp_channels, out_channels, 1, down=2, bias=False)

    def forward(self, x: Tensor | None, img: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """From this resolution to the next, half as large: (x, img) to (x, img).

        x: features [N, C, H, W]; None for the first block. img: [N, img_channels, H, W] where this
        block reads it; the second result is None where the next one does not.
        """
        if self.has_fromrgb:
            assert img is not None
            y = self.fromrgb(img)
            x = y if x is None else x + y
            img = downsample2d(img, self.resample_filter) if self.architecture == "skip" else None
        assert x is not None
        if self.architecture == "resnet":
            y = self.skip(x, gain=math.sqrt(0.5))
            x = self.conv1(self.conv0(x), gain=math.sqrt(0.5))
            return y + x, img
        return self.conv1(self.conv0(x)), img


class DiscriminatorEpilogue(nn.Module):
    """The last block, at 4 px: minibatch statistics, one convolution and two dense layers."""

    def __init__(self, in_channels: int, *, cmap_dim: int, spec: DiscriminatorSpec) -> None:
        super().__init__()
        self.cmap_dim = cmap_dim
        self.group_size = spec.mbstd_group_size
        self.num_channels = spec.mbstd_num_channels
        if spec.block_architecture == "skip":
            self.fromrgb = Conv2dLayer(
                spec.img_channels, in_channels, kernel_size=1, activation=spec.activation
            )
        self.conv = Conv2dLayer(
            in_channels + spec.mbstd_num_channels,
            in_channels,
            kernel_size=3,
            activation=spec.activation,
            conv_clamp=spec.conv_clamp,
        )
        self.fc = FullyConnectedLayer(in_channels * 16, in_channels, activation=spec.activation)
        self.out = FullyConnectedLayer(in_channels, cmap_dim or 1)

    def forward(self, x: Tensor, img: Tensor | None, cmap: Tensor | None) -> Tensor:
        """Features [N, in_channels, 4, 4] to logits [N, 1].

        img: [N, img_channels, 4, 4] for the architecture "skip", else None.
        cmap: labels as [N, cmap_dim], projected onto the output (arXiv 1802.05637), or None.
        """
        if img is not None:
            x = x + self.fromrgb(img)
        if self.num_channels > 0:
            x = minibatch_std(x, group_size=self.group_size, num_channels=self.num_channels)
        x = self.out(self.fc(self.conv(x).flatten(1)))
        if cmap is not None:
            x = (x * cmap).sum(dim=1, keepdim=True) / math.sqrt(self.cmap_dim)
        return x


class Discriminator(nn.Module):
    """Images [N, img_channels, resolution, resolution] and labels [N, c_dim] to logits [N, 1]."""

    def __init__(self, spec: DiscriminatorSpec) -> None:
        super().__init__()
        self.spec = spec
        self.c_dim = spec.c_dim
        self.img_resolution, self.img_channels = spec.resolution, spec.img_channels
        resolutions = [2**i for i in range(spec.resolution.bit_length() - 1, 2, -1)]
        channels = {r: min(spec.channel_base // r, spec.channel_max) for r in [*resolutions, 4]}
        cmap_dim = channels[4] if spec.cmap_dim is None else spec.cmap_dim
        cmap_dim = cmap_dim if spec.c_dim > 0 else 0
        self.block_resolutions = resolutions
        layers = 0
        for resolution in resolutions:
            block = DiscriminatorBlock(
                channels[resolution] if resolution < spec.resolution else 0,
                channels[resolution],
                channels[resolution // 2],
                first_layer=layers,
                spec=spec,
            )
            setattr(self, f"b{resolution}", block)
            layers += block.num_layers
        if spec.c_dim > 0:
            self.mapping = MappingNetwork(
                z_dim=0,
                c_dim=spec.c_dim,
                w_dim=cmap_dim,
                num_ws=None,
                num_layers=spec.mapping_layers,
                lr_multiplier=spec.mapping_lr_multiplier,
                w_avg_beta=None,
            )
        self.b4 = DiscriminatorEpilogue(channels[4], cmap_dim=cmap_dim, spec=spec)

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        expected = (self.img_channels, self.img_resolution, self.img_resolution)
        if img.ndim != 4 or tuple(img.shape[1:]) != expected:
            raise ValueError(f"img must have the shape [N, *{expected}], not {list(img.shape)}")
        x: Tensor | None = None
        rest: Tensor | None = img.to(torch.float32)
        for resolution in self.block_resolutions:
            x, rest = getattr(self, f"b{resolution}")(x, rest)
        cmap = self.mapping(None, c) if self.c_dim > 0 else None
        # Statistics over few samples, and the score: in full precision.
        with mixed_precision(None):
            logits: Tensor = self.b4(None if x is None else x.to(torch.float32), rest, cmap)
        return logits
