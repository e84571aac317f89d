"""The convolution with a kernel for each sample: values, both derivatives, independence."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tagloom.networks.ops.modulated_conv2d import modulated_conv2d_stylegan3
from tagloom.networks.ops.per_sample_conv2d import per_sample_conv2d


def _grouped(x: Tensor, w: Tensor, padding: int) -> Tensor:
    n, _, h, width = x.shape
    y = F.conv2d(x.reshape(1, -1, h, width), w.flatten(0, 1), padding=padding, groups=n)
    return y.reshape(n, -1, *y.shape[2:])


@pytest.mark.parametrize(("k", "padding"), [(1, 0), (3, 2), (3, 1), (3, 0), (5, 3)])
def test_equals_a_grouped_convolution_twice_differentiated(k: int, padding: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 5, 7, 11, dtype=torch.float64, requires_grad=True)
    w = torch.randn(3, 4, 5, k, k, dtype=torch.float64, requires_grad=True)
    results = []
    for function in (
        lambda: per_sample_conv2d(x, w, padding=padding),
        lambda: _grouped(x, w, padding),
    ):
        y = function()
        gradients = torch.autograd.grad(y.square().sum(), [x, w], create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in gradients), [x, w])
        results.append([y, *gradients, *second])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-9)


def test_a_sample_does_not_depend_on_its_batch() -> None:
    x, w = torch.randn(4, 32, 20, 20), torch.randn(4, 24, 32, 3, 3)
    together = per_sample_conv2d(x, w, padding=2)
    alone = [per_sample_conv2d(x[i : i + 1], w[i : i + 1], padding=2) for i in range(4)]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize("side", [4, 40])  # more weights than features, and fewer
def test_mixed_precision_rounds_and_no_more(side: int) -> None:
    torch.manual_seed(1)
    x, w, s = torch.randn(2, 32, side, side), torch.randn(32, 32, 3, 3), torch.randn(2, 32)
    exact = modulated_conv2d_stylegan3(x, w, s, padding=2)
    mixed = modulated_conv2d_stylegan3(x, w, s, padding=2, dtype=torch.bfloat16)
    assert mixed.dtype == torch.bfloat16
    error = (mixed.float() - exact).norm() / exact.norm()
    assert 1e-4 < float(error) < 6e-3  # three roundings to 8 bits
