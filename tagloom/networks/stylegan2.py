"""The StyleGAN2 generator with the block architectures of its paper: original, skip and residual.

Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN",
arXiv 1912.04958; sections 2 and 4, figure 7.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from tagloom.networks.generator import Generator
from tagloom.networks.layers import Conv2dLayer, FullyConnectedLayer, activate
from tagloom.networks.ops.modulated_conv2d import modulated_conv2d_stylegan2
from tagloom.networks.ops.precision import compute_dtype, mixed_precision
from tagloom.networks.ops.upfirdn2d import setup_filter, upsample2d
from tagloom.networks.spec import StyleGAN2Spec

__all__ = [
    "NoiseMode",
    "StyleGAN2Generator",
    "SynthesisBlock",
    "SynthesisLayer",
    "SynthesisNetwork",
    "ToRGBLayer",
]

NoiseMode = Literal["const", "random", "none"]

_MIXED_RESOLUTIONS = 4
"""so many of the highest ones take part in mixed precision (arXiv 2006.06676, appendix C)"""


class SynthesisLayer(nn.Module):
    """Modulated convolution, noise, bias and activation: [N, I, H, W] to [N, O, up*H, up*W]."""

    noise_const: Tensor
    resample_filter: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, *, resolution: int, up: int, spec: StyleGAN2Spec
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.up = up
        self.use_noise = spec.use_noise
        self.activation = spec.activation
        self.conv_clamp = spec.conv_clamp
        self.padding = spec.kernel_size // 2
        self.register_buffer("resample_filter", setup_filter(list(spec.resample_filter)))
        self.affine = FullyConnectedLayer(spec.w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(
            torch.randn([out_channels, in_channels, spec.kernel_size, spec.kernel_size])
        )
        if spec.use_noise:
            self.register_buffer("noise_const", torch.randn([resolution, resolution]))
            self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros([out_channels]))

    def forward(
        self, x: Tensor, w: Tensor, *, noise_mode: NoiseMode = "const", gain: float = 1.0
    ) -> Tensor:
        noise = None
        if self.use_noise and noise_mode == "random":
            shape = [x.shape[0], 1, self.resolution, self.resolution]
            noise = torch.randn(shape, device=x.device) * self.noise_strength
        elif self.use_noise and noise_mode == "const":
            noise = self.noise_const * self.noise_strength
        x = modulated_conv2d_stylegan2(
            x,
            self.weight,
            self.affine(w),
            noise=noise,
            up=self.up,
            padding=self.padding,
            resample_filter=self.resample_filter,
            flip_weight=self.up == 1,
            dtype=compute_dtype(),
        )
        return activate(x, self.bias, self.activation, gain, self.conv_clamp)


class ToRGBLayer(nn.Module):
    """Modulated pointwise convolution to the colours, not demodulated."""

    def __init__(self, in_channels: int, spec: StyleGAN2Spec) -> None:
        super().__init__()
        self.conv_clamp = spec.conv_clamp
        self.affine = FullyConnectedLayer(spec.w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn([spec.img_channels, in_channels, 1, 1]))
        self.bias = nn.Parameter(torch.zeros([spec.img_channels]))
        self.weight_gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        styles = self.affine(w) * self.weight_gain
        # Colours are what is seen: they are made in full precision.
        x = x.to(self.weight.dtype)
        x = modulated_conv2d_stylegan2(x, self.weight, styles, demodulate=False)
        return activate(x, self.bias, "linear", 1.0, self.conv_clamp).contiguous()


class SynthesisBlock(nn.Module):
    """The layers of one resolution. in_channels 0: the first block, with its learned constant."""

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        resolution: int,
        is_last: bool,
        spec: StyleGAN2Spec,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.architecture = spec.block_architecture
        self.register_buffer("resample_filter", setup_filter(list(spec.resample_filter)))
        self.num_conv = 1
        if in_channels == 0:
            self.const = nn.Parameter(torch.randn([out_channels, resolution, resolution]))
        else:
            self.conv0 = SynthesisLayer(
                in_channels, out_channels, resolution=resolution, up=2, spec=spec
            )
            self.num_conv += 1
        self.conv1 = SynthesisLayer(
            out_channels, out_channels, resolution=resolution, up=1, spec=spec
        )
        self.has_torgb = is_last or self.architecture == "skip"
        if self.has_torgb:
            self.torgb = ToRGBLayer(out_channels, spec)
        self.is_residual = in_channels != 0 and self.architecture == "resnet"
        if self.is_residual:
            self.skip = Conv2dLayer(
                in_channels,
                out_channels,
                kernel_size=1,
                bias=False,
                up=2,
                resample_filter=spec.resample_filter,
            )

    def forward(
        self, x: Tensor | None, img: Tensor | None, ws: Tensor, *, noise_mode: NoiseMode
    ) -> tuple[Tensor, Tensor | None]:
        """ws: [N, number of layers in this block, w_dim]. Returns features and image so far."""
        styles = list(ws.unbind(dim=1))
        if x is None:
            x = self.const.expand(ws.shape[0], *self.const.shape)
            x = self.conv1(x, styles.pop(0), noise_mode=noise_mode)
        elif self.is_residual:
            y = self.skip(x, gain=math.sqrt(0.5))
            x = self.conv0(x, styles.pop(0), noise_mode=noise_mode)
            x = self.conv1(x, styles.pop(0), noise_mode=noise_mode, gain=math.sqrt(0.5))
            x = y + x
        else:
            x = self.conv0(x, styles.pop(0), noise_mode=noise_mode)
            x = self.conv1(x, styles.pop(0), noise_mode=noise_mode)
        if img is not None:
            img = upsample2d(img, self.resample_filter)
        if self.has_torgb:
            y = self.torgb(x, styles.pop(0))
            img = y if img is None else img + y
        return x, img


class SynthesisNetwork(nn.Module):
    """ws [N, num_ws, w_dim] to images [N, img_channels, resolution, resolution], about [-1, 1]."""

    def __init__(self, spec: StyleGAN2Spec) -> None:
        super().__init__()
        self.block_resolutions = [2**i for i in range(2, spec.resolution.bit_length())]
        widths = [min(spec.channel_base // r, spec.channel_max) for r in self.block_resolutions]
        channels = dict(zip(self.block_resolutions, widths, strict=True))
        self.num_ws = 0
        for resolution in self.block_resolutions:
            block = SynthesisBlock(
                channels[resolution // 2] if resolution > 4 else 0,
                channels[resolution],
                resolution=resolution,
                is_last=resolution == spec.resolution,
                spec=spec,
            )
            setattr(self, f"b{resolution}", block)
            # A block's colours share their w with the next block's first convolution.
            self.num_ws += block.num_conv
        self.num_ws += 1

    def forward(
        self, ws: Tensor, update_emas: bool = False, noise_mode: NoiseMode = "const"
    ) -> Tensor:
        """noise_mode: "const" (the stored noise), "random" (new noise) or "none".

        update_emas: accepted for the sake of one call for all generators; nothing is averaged here.
        """
        if noise_mode not in ("const", "random", "none"):
            raise ValueError(f"noise_mode is const, random or none, not {noise_mode!r}")
        ws = ws.to(torch.float32)
        mixed = self.block_resolutions[-_MIXED_RESOLUTIONS:]
        x: Tensor | None = None
        img: Tensor | None = None
        first = 0
        for resolution in self.block_resolutions:
            block: SynthesisBlock = getattr(self, f"b{resolution}")
            block_ws = ws[:, first : first + block.num_conv + block.has_torgb]
            with mixed_precision(compute_dtype() if resolution in mixed else None):
                x, img = block(x, img, block_ws, noise_mode=noise_mode)
            first += block.num_conv
        assert img is not None  # the last block always makes colours
        return img


class StyleGAN2Generator(Generator):
    """The generator that `spec` describes, with fresh weights."""

    def __init__(self, spec: StyleGAN2Spec) -> None:
        synthesis = SynthesisNetwork(spec)
        super().__init__(spec, synthesis, synthesis.num_ws)
