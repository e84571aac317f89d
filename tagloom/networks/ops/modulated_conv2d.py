"""Convolutions whose input channels are scaled by a style, sample by sample.

Modulating the input and demodulating the output is the same as giving each sample a convolution of
its own (StyleGAN2, arXiv 1912.04958, equations 1 to 3), and lets all samples share one kernel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tagloom.networks.ops.conv2d_resample import conv2d_resample
from tagloom.networks.ops.per_sample_conv2d import per_sample_conv2d

__all__ = ["modulated_conv2d_stylegan2", "modulated_conv2d_stylegan3"]

_EPSILON = 1e-8


def _demodulation(weight_OIHW: Tensor, styles_NI: Tensor) -> Tensor:
    """[N, O]: 1 / norm of each output channel's modulated kernel (equation 3)."""
    power_OI = weight_OIHW.square().sum(dim=(2, 3))
    return (styles_NI.square() @ power_OI.t() + _EPSILON).rsqrt()


def modulated_conv2d_stylegan3(
    x: Tensor,
    w: Tensor,
    s: Tensor,
    *,
    demodulate: bool = True,
    padding: int | Sequence[int] = 0,
    input_gain: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Modulated convolution as StyleGAN3 has it (arXiv 2106.12423, appendix F.2).

    x: [N, I, H, W]; w: [O, I, kh, kw]; s: [N, I].
    demodulate: normalise weights, styles and the modulated kernel.
    padding: (y, x), or one for both.
    input_gain: scalar, [I] or [N, I]; scales the input and is not undone by demodulation.
    dtype: of the convolution and the result; None: that of x. Kernels are made in float32.
    Each sample's styles are normalised alone, so a sample does not depend on its batch. (Scaling
    styles cancels in the demodulation but for its epsilon.)
    """
    pads = padding if isinstance(padding, int) else list(padding)
    scale_NI = s
    dcoefs_NO = None
    if demodulate:
        w = w * w.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
        scale_NI = s * s.square().mean(dim=1, keepdim=True).rsqrt()
        dcoefs_NO = _demodulation(w, scale_NI)
    if input_gain is not None:
        scale_NI = scale_NI * input_gain

    n, i, height, width = x.shape
    o = w.shape[0]
    if w.numel() <= (i + o) * height * width and not torch.compiler.is_exporting():
        # (An exported graph keeps its batch open, but the number of groups is a constant in it.)
        # Fewer weights than features: scale the weights, and let each sample be a group.
        w_NOIHW = w * scale_NI[:, None, :, None, None]
        if dcoefs_NO is not None:
            w_NOIHW = w_NOIHW * dcoefs_NO[:, :, None, None, None]
        if dtype is not None:
            x, w_NOIHW = x.to(dtype), w_NOIHW.to(dtype)
        kernel = w.shape[2:]
        if x.device.type == "cpu" and isinstance(pads, int) and kernel == (pads + 1, pads + 1):
            return per_sample_conv2d(x, w_NOIHW, padding=pads)
        y = F.conv2d(
            x.reshape(1, n * i, height, width),
            w_NOIHW.reshape(n * o, *w.shape[1:]),
            padding=pads,
            groups=n,
        )
        return y.reshape(n, o, *y.shape[2:])
    x = x * scale_NI[:, :, None, None].to(x.dtype)
    if dtype is not None:
        x, w = x.to(dtype), w.to(dtype)
    y = F.conv2d(x, w, padding=pads)
    return y if dcoefs_NO is None else y * dcoefs_NO[:, :, None, None].to(y.dtype)


def modulated_conv2d_stylegan2(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    noise: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: int = 0,
    resample_filter: Tensor | None = None,
    demodulate: bool = True,
    flip_weight: bool = True,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Modulated convolution as StyleGAN2 has it, with resampling and additive noise.

    x: [N, I, H, W]; weight: [O, I, kh, kw]; styles: [N, I].
    noise: added to the result; broadcast to its shape.
    flip_weight: False: convolve; True: correlate, as torch does.
    dtype: of the convolution and the result; None: that of x. The demodulation is computed in
    float32. (float16 would need styles and weights scaled against overflow, as in arXiv 2006.06676,
    appendix C; bfloat16 reaches as far as float32.)
    """
    if dtype is not None:
        x = x.to(dtype, memory_format=torch.channels_last)
    y = conv2d_resample(
        x * styles[:, :, None, None].to(x.dtype),
        weight.to(x.dtype),
        f=resample_filter,
        up=up,
        down=down,
        padding=padding,
        flip_weight=flip_weight,
    )
    noise = None if noise is None else noise.to(y.dtype)
    if demodulate:
        dcoefs = _demodulation(weight, styles)[:, :, None, None].to(y.dtype)
        return y * dcoefs if noise is None else torch.addcmul(noise, y, dcoefs)
    return y if noise is None else y + noise
