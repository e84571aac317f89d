"""The Triton kernel against the definition, run by Triton's interpreter on the CPU.

In a process of its own: whether Triton interprets is decided when it is imported.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

SCRIPT = """
import itertools, sys, torch
import reference_resampling
from tagloom.networks.ops.filtered_lrelu_triton import filtered_lrelu_triton

torch.manual_seed(0)
separable = lambda n: torch.rand(n) / n * 2
square = lambda a, b: torch.rand(a, b) / (a * b) * 4
CASES = [  # height, width, up, down, padding, fu, fd
    (12, 9, 2, 2, (9, 8, 9, 8), separable(12), separable(12)),
    (30, 29, 2, 2, (9, 8, 7, 10), separable(12), separable(12)),  # several tiles
    (11, 14, 4, 2, (-6, -9, -3, -5), separable(24), separable(12)),
    (9, 10, 2, 4, (11, 12, 13, 9), separable(11), separable(24)),
    (10, 13, 2, 2, (9, 8, 9, 8), separable(12), square(12, 12)),
    (9, 8, 2, 2, (6, 7, 5, 9), square(5, 9), square(11, 8)),
    (7, 6, 1, 2, (3, 2, 1, 4), None, separable(7)),
]
# The interpreter takes a second for every few planes, and one case of several shows how they lie.
PLANES = [(2, 2), *[(1, 1)] * (len(CASES) - 1)]
COMBINED = itertools.product(zip(PLANES, CASES, strict=True), (None, 0.7))
for ((n, c), (h, w, up, down, padding, fu, fd)), clamp in COMBINED:
    kw = dict(up=up, down=down, padding=padding, gain=1.4, slope=0.2, clamp=clamp,
              flip_filter=clamp is None)
    x = torch.randn(n, c, h, w).requires_grad_()
    b = torch.randn(c).requires_grad_()
    results = []
    for function, dtype in ((filtered_lrelu_triton, torch.float32),
                            (reference_resampling.filtered_lrelu, torch.float64)):
        filters = [None if f is None else f.to(dtype) for f in (fu, fd)]
        y = function(x.to(dtype), *filters, b.to(dtype), **kw)
        torch.manual_seed(1)
        v = torch.randn(y.shape).to(dtype).requires_grad_()
        grads = torch.autograd.grad(y, [x, b], v, create_graph=True)
        (second,) = torch.autograd.grad(grads[0].square().sum(), v)
        results.append([y, *grads, second])
    for name, ours, expected in zip(("y", "dx", "db", "second"), *results):
        error = float(((ours - expected).abs().max() / expected.abs().max()).detach())
        assert ours.shape == expected.shape and error < 1e-5, (h, w, up, down, clamp, name, error)

# Read as they lie: channels-last stays so, a cut-out is not copied, gradients of any layout.
def refused(self, *args, **kwargs):
    assert self.ndim != 4, "a copy of an image"
    return contiguous(self, *args, **kwargs)

contiguous, torch.Tensor.contiguous = torch.Tensor.contiguous, refused
last = torch.channels_last
n, c, h, w, up, down, padding = 2, 3, 11, 8, 2, 2, (9, 8, 7, 10)
for fd in (separable(12), square(11, 8)):
    fu = separable(12)
    kw = dict(up=up, down=down, padding=padding, gain=1.4, slope=0.2, clamp=0.7)
    plain, b = torch.randn(n, c, h, w), torch.randn(c)
    wide = torch.randn(n, c + 2, h + 3, 2 * w)
    wide[:, 1:-1, 2:-1, ::2] = plain
    layouts = {"planes": plain, "last": plain.to(memory_format=last),
               "cut": wide[:, 1:-1, 2:-1, ::2]}
    expected = None
    for name, x in layouts.items():
        for grad_last in (False, True):
            x = x.detach().requires_grad_()
            y = filtered_lrelu_triton(x, fu, fd, b, **kw)
            torch.manual_seed(1)
            v = torch.randn(y.shape)
            v = (v.to(memory_format=last) if grad_last else v).requires_grad_()
            (dx,) = torch.autograd.grad(y, x, v, create_graph=True)
            (second,) = torch.autograd.grad(dx.square().sum(), v)
            results = [y.detach(), dx.detach(), second]
            for result in results:
                assert result.is_contiguous(memory_format=last) == (name == "last"), name
            if expected is None:
                expected = results
            assert all(map(torch.equal, results, expected)), (name, grad_last)
one = filtered_lrelu_triton(torch.randn(1, 1, h, w).to(memory_format=last), fu, fd, None, **kw)
assert one.is_contiguous()
torch.Tensor.contiguous = contiguous

half = torch.randn(1, 3, 12, 12, dtype=torch.bfloat16)
kw = dict(up=2, down=2, padding=(9, 8, 9, 8), gain=1.4, slope=0.2, clamp=None)
fu, fd = separable(12), separable(12)
wide = filtered_lrelu_triton(half.float(), fu, fd, None, **kw)
narrow = filtered_lrelu_triton(half, fu, fd, None, **kw)
assert narrow.dtype == torch.bfloat16
torch.testing.assert_close(narrow.float(), wide, rtol=2**-7, atol=1e-6)  # the interpreter truncates
try:
    filtered_lrelu_triton(torch.randn(1, 1, 4, 4), fu, fd, None, **{**kw, "padding": (0, 0, 0, 0)})
except ValueError as error:
    assert "too small" in str(error)
else:
    raise AssertionError("too small an image was accepted")
print("all exact")
"""


def test_exact_under_the_interpreter() -> None:
    root = Path(__file__).parents[4]
    environment = {
        **os.environ,
        "TRITON_INTERPRET": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests/reference")]),
    }
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "all exact"
