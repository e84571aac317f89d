"""StyleGAN3's generator and the StyleGAN2 discriminator, each layer straight from its definition.

The weights are those of the product's networks; everything that is computed with them is written
out here again: zero insertion, filtering at the full rate, a convolution kernel for each sample.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from reference_resampling import filtered_lrelu, upfirdn2d
from torch import Tensor, nn
from torch.nn import functional as F


def dense(layer: Any, x: Tensor) -> Tensor:
    """Equalised learning rate: arXiv 1710.10196, section 4.1."""
    y = x @ (layer.weight * layer.weight_gain).t() + layer.bias * layer.bias_gain
    return F.leaky_relu(y, 0.2) * math.sqrt(2) if layer.activation == "lrelu" else y


def mapping(network: Any, z: Tensor, *, update_emas: bool = False) -> Tensor:
    """StyleGAN, arXiv 1812.04948, section 2; without labels and truncation."""
    x = z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
    for index in range(network.num_layers):
        x = dense(getattr(network, f"fc{index}"), x)
    if update_emas:
        mean = x.detach().mean(dim=0)
        network.w_avg.copy_(mean + network.w_avg_beta * (network.w_avg - mean))
    return x[:, None].repeat(1, network.num_ws, 1)


def modulated_conv2d(
    x: Tensor, w: Tensor, s: Tensor, *, demodulate: bool, padding: int, input_gain: Tensor
) -> Tensor:
    """A kernel of its own for each sample, as a grouped convolution: StyleGAN3, appendix F.2."""
    n = len(x)
    if demodulate:
        w = w * w.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
        s = s * s.square().mean(dim=1, keepdim=True).rsqrt()
    kernels = w[None] * s[:, None, :, None, None]
    if demodulate:
        kernels = kernels * (kernels.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    kernels = kernels * input_gain
    y = F.conv2d(x.reshape(1, -1, *x.shape[2:]), kernels.flatten(0, 1), padding=padding, groups=n)
    return y.reshape(n, -1, *y.shape[2:])


def synthesis_input(layer: Any, w: Tensor) -> Tensor:
    """Fourier features: StyleGAN3, section 3.1 and appendix F.1."""
    plan = layer.plan
    t = dense(layer.affine, w)
    t = t / t[:, :2].norm(dim=1, keepdim=True)
    rotation, translation = (torch.eye(3).repeat(len(w), 1, 1) for _ in range(2))
    rotation[:, 0, 0], rotation[:, 0, 1] = t[:, 0], -t[:, 1]
    rotation[:, 1, 0], rotation[:, 1, 1] = t[:, 1], t[:, 0]
    translation[:, 0, 2], translation[:, 1, 2] = -t[:, 2], -t[:, 3]
    transforms = rotation @ translation @ layer.transform
    phases = layer.phases + (layer.freqs @ transforms[:, :2, 2:]).squeeze(2)
    freqs = layer.freqs @ transforms[:, :2, :2]
    fade = plan.sampling_rate / 2 - plan.bandwidth
    amplitudes = (1 - (freqs.norm(dim=2) - plan.bandwidth) / fade).clamp(0, 1)
    places = (torch.arange(plan.size) + 0.5 - plan.size / 2) / plan.sampling_rate
    y, x = torch.meshgrid(places, places, indexing="ij")
    angle = (
        freqs[:, :, 0, None, None] * x + freqs[:, :, 1, None, None] * y + phases[:, :, None, None]
    )
    waves = torch.sin(angle * (2 * math.pi)) * amplitudes[:, :, None, None]
    return F.conv2d(waves, layer.weight[:, :, None, None] / math.sqrt(plan.channels))


def synthesis_layer(layer: Any, x: Tensor, w: Tensor, *, update_emas: bool = False) -> Tensor:
    """StyleGAN3, figure 4b."""
    plan = layer.plan
    if update_emas:
        magnitude = x.detach().square().mean()
        layer.magnitude_ema.copy_(
            magnitude + layer.magnitude_ema_beta * (layer.magnitude_ema - magnitude)
        )
    styles = dense(layer.affine, w)
    if plan.is_torgb:
        styles = styles / math.sqrt(plan.in_channels * plan.conv_kernel**2)
    x = modulated_conv2d(
        x,
        layer.weight,
        styles,
        demodulate=not plan.is_torgb,
        padding=plan.conv_kernel - 1,
        input_gain=layer.magnitude_ema.rsqrt(),
    )
    return filtered_lrelu(
        x,
        layer.up_filter,
        layer.down_filter,
        layer.bias,
        up=plan.up_factor,
        down=plan.down_factor,
        padding=plan.padding,
        gain=1.0 if plan.is_torgb else math.sqrt(2),
        slope=1.0 if plan.is_torgb else 0.2,
        clamp=layer.conv_clamp,
    )


def generator(G: Any, z: Tensor, *, update_emas: bool = False) -> Tensor:
    """Images of a `StyleGAN3Generator`."""
    ws = mapping(G.mapping, z, update_emas=update_emas)
    x = synthesis_input(G.synthesis.input, ws[:, 0])
    for index, name in enumerate(G.synthesis.layer_names):
        layer = getattr(G.synthesis, name)
        x = synthesis_layer(layer, x, ws[:, index + 1], update_emas=update_emas)
    return x * G.synthesis.output_scale


def convolution(layer: Any, x: Tensor, gain: float = 1.0) -> Tensor:
    """Filter at the full rate, convolve, then the activation: arXiv 1912.04958, section 4."""
    w = layer.weight * layer.weight_gain
    if layer.down == 1:
        x = F.conv2d(x, w, padding=layer.padding)
    else:
        taps = layer.resample_filter.shape[0]
        before, after = (taps - layer.down + 1) // 2, (taps - layer.down) // 2
        pads = (layer.padding + before, layer.padding + after) * 2
        if w.shape[-1] == 1:
            x = upfirdn2d(x, layer.resample_filter, down=(layer.down,) * 2, padding=pads)
            x = F.conv2d(x, w)
        else:
            x = upfirdn2d(x, layer.resample_filter, padding=pads)
            x = F.conv2d(x, w, stride=layer.down)
    if layer.bias is not None:
        x = x + layer.bias[None, :, None, None]
    if layer.activation == "lrelu":
        x, gain = F.leaky_relu(x, 0.2), gain * math.sqrt(2)
    x = x * gain
    if layer.conv_clamp is not None:
        limit = layer.conv_clamp * (gain / math.sqrt(2) if layer.activation == "lrelu" else gain)
        x = x.clamp(-limit, limit)
    return x


def discriminator(D: Any, img: Tensor) -> Tensor:
    """Logits of a residual `Discriminator` without labels."""
    x = img
    for resolution in D.block_resolutions:
        block = getattr(D, f"b{resolution}")
        if block.has_fromrgb:
            x = convolution(block.fromrgb, x)
        y = convolution(block.skip, x, math.sqrt(0.5))
        x = convolution(block.conv1, convolution(block.conv0, x), math.sqrt(0.5)) + y
    last = D.b4
    n, c, h, w = x.shape
    group = min(last.group_size or n, n)
    y = x.reshape(group, -1, last.num_channels, c // last.num_channels, h, w)
    y = ((y - y.mean(dim=0)).square().mean(dim=0) + 1e-8).sqrt().mean(dim=(2, 3, 4))
    y = y.reshape(-1, last.num_channels, 1, 1).repeat(group, 1, h, w)
    x = convolution(last.conv, torch.cat([x, y], dim=1))
    return dense(last.out, dense(last.fc, x.flatten(1)))


class LiteralGenerator(nn.Module):
    """A generator's weights, used by definition; called as the product's are."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: Tensor, update_emas: bool = False) -> Tensor:
        return generator(self.network, z, update_emas=update_emas)


class LiteralDiscriminator(nn.Module):
    """A discriminator's weights, used by definition."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, img: Tensor) -> Tensor:
        return discriminator(self.network, img)
