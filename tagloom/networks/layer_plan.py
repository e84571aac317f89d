"""The frequencies and sizes of StyleGAN3's layers, from its few design parameters.

Source: arXiv 2106.12423, section 3.2 and appendix C: cutoffs and stopbands grow geometrically from
layer to layer, the sampling rate is the smallest power of two that holds the stopband, and every
layer keeps a margin around the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tagloom.networks.spec import StyleGAN3Spec

__all__ = ["InputPlan", "LayerPlan", "plan_input", "plan_layers"]


@dataclass(frozen=True, slots=True)
class InputPlan:
    """The Fourier-feature input."""

    channels: int
    size: int  # side in samples, margins included
    sampling_rate: float  # samples per image side
    bandwidth: float  # highest frequency, cycles per image side


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """One synthesis layer. Frequencies are in cycles per image side, rates in samples per side."""

    name: str
    in_channels: int
    out_channels: int
    in_size: int
    out_size: int
    in_sampling_rate: int
    out_sampling_rate: int
    tmp_sampling_rate: int
    in_cutoff: float
    out_cutoff: float
    in_half_width: float
    out_half_width: float
    is_torgb: bool
    is_critically_sampled: bool
    conv_kernel: int
    up_factor: int
    down_factor: int
    up_taps: int
    down_taps: int
    down_radial: bool
    padding: tuple[int, int, int, int]  # x0, x1, y0, y1, of the upsampled image


@dataclass(frozen=True, slots=True)
class _Bands:
    cutoffs: np.ndarray
    half_widths: np.ndarray
    sampling_rates: np.ndarray
    sizes: np.ndarray
    channels: np.ndarray


def _bands(spec: StyleGAN3Spec) -> _Bands:
    last_cutoff = spec.resolution / 2
    last_stopband = last_cutoff * spec.last_stopband_rel
    exponents = np.minimum(
        np.arange(spec.num_layers + 1) / (spec.num_layers - spec.num_critical), 1
    )
    cutoffs = spec.first_cutoff * (last_cutoff / spec.first_cutoff) ** exponents
    stopbands = spec.first_stopband * (last_stopband / spec.first_stopband) ** exponents
    rates = np.exp2(np.ceil(np.log2(np.minimum(stopbands * 2, spec.resolution))))
    half_widths = np.maximum(stopbands, rates / 2) - cutoffs
    sizes = rates + spec.margin_size * 2
    sizes[-2:] = spec.resolution  # the last two layers need no margin
    channels = np.rint(np.minimum(spec.channel_base / 2 / cutoffs, spec.channel_max))
    channels[-1] = spec.img_channels
    return _Bands(cutoffs, half_widths, rates, sizes, channels)


def plan_input(spec: StyleGAN3Spec) -> InputPlan:
    """The plan of the synthesis input."""
    bands = _bands(spec)
    return InputPlan(
        channels=int(bands.channels[0]),
        size=int(bands.sizes[0]),
        sampling_rate=float(bands.sampling_rates[0]),
        bandwidth=float(bands.cutoffs[0]),
    )


def plan_layers(spec: StyleGAN3Spec) -> list[LayerPlan]:
    """The plans of all `num_layers` layers and of the final one, which makes the colours."""
    bands = _bands(spec)
    plans = []
    for index in range(spec.num_layers + 1):
        previous = max(index - 1, 0)
        is_torgb = index == spec.num_layers
        is_critical = index >= spec.num_layers - spec.num_critical
        in_rate = int(bands.sampling_rates[previous])
        out_rate = int(bands.sampling_rates[index])
        tmp_rate = max(in_rate, out_rate) * (1 if is_torgb else spec.lrelu_upsampling)
        up = tmp_rate // in_rate
        down = tmp_rate // out_rate
        up_taps = spec.filter_size * up if up > 1 and not is_torgb else 1
        down_taps = spec.filter_size * down if down > 1 and not is_torgb else 1
        kernel = 1 if is_torgb else spec.conv_kernel
        in_size = int(bands.sizes[previous])
        out_size = int(bands.sizes[index])
        channels = int(bands.channels[index])
        plans.append(
            LayerPlan(
                name=f"L{index}_{out_size}_{channels}",
                in_channels=int(bands.channels[previous]),
                out_channels=channels,
                in_size=in_size,
                out_size=out_size,
                in_sampling_rate=in_rate,
                out_sampling_rate=out_rate,
                tmp_sampling_rate=tmp_rate,
                in_cutoff=float(bands.cutoffs[previous]),
                out_cutoff=float(bands.cutoffs[index]),
                in_half_width=float(bands.half_widths[previous]),
                out_half_width=float(bands.half_widths[index]),
                is_torgb=is_torgb,
                is_critically_sampled=is_critical,
                conv_kernel=kernel,
                up_factor=up,
                down_factor=down,
                up_taps=up_taps,
                down_taps=down_taps,
                down_radial=spec.use_radial_filters and not is_critical,
                padding=_padding(in_size, out_size, kernel, up, down, up_taps, down_taps),
            )
        )
    return plans


def _padding(
    in_size: int, out_size: int, kernel: int, up: int, down: int, up_taps: int, down_taps: int
) -> tuple[int, int, int, int]:
    """What brings the convolution's output, once upsampled, to `out_size` after both filters."""
    wanted = (out_size - 1) * down + 1  # samples before the downsampling
    given = (in_size + kernel - 1) * up  # samples after the upsampling, before its filter
    total = wanted - given + up_taps + down_taps - 2
    before = math.floor((total + up) / 2)  # negative: crop
    after = total - before
    return before, after, before, after
