"""A convolution whose kernel differs from sample to sample, on a CPU.

As a grouped convolution, the obvious form, it runs at a third to a sixth of the speed of single
convolutions in bfloat16; and oneDNN's gradient of the weights takes twice to four times as long as
nine matrix products of shifted images (benchmarks/RESULTS.md). Tensors lie channels-last, where
such a shift is an offset into memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["per_sample_conv2d"]


def per_sample_conv2d(x: Tensor, w: Tensor, *, padding: int) -> Tensor:
    """Correlate sample n of x [N, I, H, W] with w[n] of w [N, O, I, k, k].

    padding: zeros on every side, at most k - 1.
    Returns [N, O, H + 2 * padding - k + 1, ...], channels-last. It can be differentiated any
    number of times. A sample's result does not depend on its batch.
    """
    result: Tensor = _PerSampleConvolution.apply(x, w, padding)
    return result


class _PerSampleConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.padding = padding
        x = x.contiguous(memory_format=torch.channels_last)
        if w.shape[3] == w.shape[4] == 1 and padding == 0:
            n, i, height, width = x.shape
            pixels = x.permute(0, 2, 3, 1).reshape(n, height * width, i)
            y = torch.cat([p @ k.flatten(1).t() for p, k in zip(pixels, w, strict=True)])
            return y.reshape(n, height, width, -1).permute(0, 3, 1, 2)
        return torch.cat(
            [
                F.conv2d(
                    image[None],
                    kernel.contiguous(memory_format=torch.channels_last),
                    padding=padding,
                )
                for image, kernel in zip(x, w, strict=True)
            ]
        )

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, w = ctx.saved_tensors
        k = w.shape[3]
        grad_x = grad_w = None
        if ctx.needs_input_grad[0]:
            mirrored = w.flip((3, 4)).transpose(1, 2)
            grad_x = per_sample_conv2d(grad, mirrored, padding=k - 1 - ctx.padding)
        if ctx.needs_input_grad[1]:
            grad_w = _weight_gradient(x, grad, k, ctx.padding)
        return grad_x, grad_w, None


def _weight_gradient(x: Tensor, grad: Tensor, k: int, padding: int) -> Tensor:
    """[N, O, I, k, k]: for each tap, the product of the gradient and the image shifted by it.

    Rows of both are laid out at the width of the padded image, so that a shift is an offset; what
    the gradient lacks at the end of a row is zeros.
    """
    p = padding
    x_NHWI = F.pad(x.permute(0, 2, 3, 1), (0, 0, p, p, p, p))
    g_NHWO = F.pad(grad.permute(0, 2, 3, 1), (0, 0, 0, k - 1))
    width = x_NHWI.shape[2]
    # The last k - 1 are zeros, and would reach beyond the image.
    length = g_NHWO.shape[1] * width - (k - 1)
    taps = []
    # Product by product: a batch of them is copied first where it is bfloat16, nine times over.
    for g_PO, pixels_PI in zip(g_NHWO.flatten(1, 2), x_NHWI.flatten(1, 2), strict=True):
        g_OP = g_PO[:length].t()
        for row in range(k):
            for column in range(k):
                start = row * width + column
                taps.append(torch.mm(g_OP, pixels_PI[start : start + length]))
    n, o, i = x.shape[0], grad.shape[1], x.shape[1]
    return torch.stack(taps).reshape(n, k, k, o, i).permute(0, 3, 4, 1, 2)
