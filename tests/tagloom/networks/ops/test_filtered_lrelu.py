"""Both implementations of the filtered leaky ReLU against the definition, on any geometry."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import reference_resampling
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tagloom.errors import InvalidArgument
from tagloom.networks.ops import threads
from tagloom.networks.ops.filtered_lrelu import filtered_lrelu, filtered_lrelu_torch
from tagloom.networks.ops.filtered_lrelu_numba import filtered_lrelu_numba, is_supported

# As StyleGAN3 uses them, and their transposes; each is compiled once.
FACTORS = [(2, 2), (4, 2), (2, 4)]
LAYERS = {  # side, up, down, padding: the layers of StyleGAN3-T at 32 px
    "same": (38, 2, 2, (9, 8, 9, 8)),
    "up": (38, 4, 2, (-6, -9, -6, -9)),
    "crop": (54, 2, 2, (-11, -12, -11, -12)),
}


def _filters(up: int, down: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    fu, fd = torch.rand(6 * up), torch.rand(6 * down)
    return fu / fu.sum(), fd / fd.sum()


def _compare(
    function: Any, x: Tensor, fu: Any, fd: Any, b: Tensor | None, relative_error: Any, **kw: Any
) -> None:
    x = x.clone().requires_grad_()
    b = None if b is None else b.clone().requires_grad_()
    x64 = x.detach().double().requires_grad_()
    b64 = None if b is None else b.detach().double().requires_grad_()
    result = function(x, fu, fd, b, **kw)
    wide = [None if f is None else f.double() for f in (fu, fd)]
    expected = reference_resampling.filtered_lrelu(x64, wide[0], wide[1], b64, **kw)
    assert relative_error(result, expected) < 5e-6
    weights = torch.randn(expected.shape)
    inputs = [x] if b is None else [x, b]
    inputs64 = [x64] if b64 is None else [x64, b64]
    gradients = torch.autograd.grad(result, inputs, weights)
    references = torch.autograd.grad(expected, inputs64, weights.double())
    # The bias's gradient is a sum over all samples: its scale is that of the sum of sizes.
    assert relative_error(gradients[0], references[0]) < 5e-6
    for gradient, reference in zip(gradients[1:], references[1:], strict=True):
        scale = references[0].abs().sum(dim=(0, 2, 3)).max()
        assert float((gradient - reference).abs().max() / scale) < 5e-6


@pytest.mark.parametrize("function", [filtered_lrelu_numba, filtered_lrelu_torch])
@pytest.mark.parametrize("layer", sorted(LAYERS))
def test_layers_of_stylegan3(function: Any, layer: str, relative_error: Any) -> None:
    side, up, down, padding = LAYERS[layer]
    fu, fd = _filters(up, down)
    x, b = torch.randn(2, 3, side, side), torch.randn(3)
    kw = {"up": up, "down": down, "padding": padding, "gain": 2**0.5, "slope": 0.2}
    _compare(function, x, fu, fd, b, relative_error, clamp=None, **kw)
    _compare(function, x, fu, fd, b, relative_error, clamp=0.5, **kw)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_geometry(data: st.DataObject, relative_error: Any) -> None:
    up, down = data.draw(st.sampled_from(FACTORS))
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    pads = tuple(data.draw(st.tuples(*[st.integers(-30, 40)] * 4)))
    up_taps, down_taps = data.draw(st.integers(1, 6 * up)), data.draw(st.integers(1, 6 * down))
    for size, before, after in ((width, *pads[:2]), (height, *pads[2:])):
        assume(size * up + before + after - (up_taps - 1) >= down_taps)
        assume(size * up + min(before, 0) + min(after, 0) > 0)  # something is left
    torch.manual_seed(data.draw(st.integers(0, 9)))
    fu, fd = torch.randn(up_taps), torch.randn(down_taps)
    # A two-dimensional filter, as the radial ones of StyleGAN3-R.
    if (up, down) == (2, 2):
        fd = torch.randn(down_taps, down_taps) if data.draw(st.booleans()) else fd
    # Vectors are 16 channels: fewer, whole vectors, and vectors that overlap.
    channels = data.draw(st.sampled_from([1, 3, 16, 17, 35]))
    x = torch.randn(data.draw(st.integers(1, 2)), channels, height, width)
    b = torch.randn(x.shape[1])
    kw: dict[str, Any] = {
        "up": up,
        "down": down,
        "padding": pads,
        "gain": data.draw(st.sampled_from([1.0, 1.5])),
        "slope": data.draw(st.sampled_from([0.0, 0.2, 1.0])),
        "clamp": data.draw(st.sampled_from([None, 1.0])),
        "flip_filter": data.draw(st.booleans()),
    }
    with torch.no_grad():
        result = filtered_lrelu_numba(x, fu, fd, b, **kw)
        plain = filtered_lrelu_torch(x, fu, fd, b, **kw)
        expected = reference_resampling.filtered_lrelu(
            x.double(), fu.double(), fd.double(), b.double(), **kw
        )
    scale = max(1.0, float(expected.abs().max()))
    assert result.shape == expected.shape
    assert float((result - expected).abs().max()) < 1e-4 * scale
    assert float((plain - expected).abs().max()) < 1e-4 * scale
    if kw["clamp"] is None:
        _check_gradient(x, fu, fd, b, kw)


def test_rectangular_radial_filters(relative_error: Any) -> None:
    """Neither square nor symmetric, so that a transposition or a flip shows."""
    torch.manual_seed(3)
    fu, fd = torch.rand(5, 9), torch.rand(11, 8)
    x, b = torch.randn(2, 19, 13, 17), torch.randn(19)
    for flip in (False, True):
        kw = {"up": 2, "down": 2, "padding": (9, 4, 7, 8), "clamp": 20.0, "flip_filter": flip}
        for function in (filtered_lrelu_numba, filtered_lrelu_torch):
            _compare(function, x, fu / 9, fd / 9, b, relative_error, gain=1.4, slope=0.2, **kw)


def test_bfloat16_is_rounded_once(relative_error: Any) -> None:
    """Widened, computed in float32, rounded to nearest: half a unit in the last place."""
    fu, fd = _filters(2, 2)
    x = torch.randn(2, 20, 24, 30).bfloat16()
    kw: dict[str, Any] = {"up": 2, "down": 2, "padding": (9, 8, 9, 8), "gain": 1.4, "slope": 0.2}
    b = torch.randn(20)
    x.requires_grad_()
    y = filtered_lrelu_numba(x, fu, fd, b, clamp=1.0, **kw)
    wide = x.detach().float().requires_grad_()
    z = filtered_lrelu_numba(wide, fu, fd, b, clamp=1.0, **kw)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, z.bfloat16())
    weights = torch.randn(y.shape).bfloat16()
    (ours,) = torch.autograd.grad(y, x, weights)
    (theirs,) = torch.autograd.grad(z, wide, weights.float())
    assert torch.equal(ours, theirs.bfloat16())
    nan = x.detach().clone()
    nan[0, 0, 5, 5] = float("nan")
    assert bool(filtered_lrelu_numba(nan, fu, fd, b, clamp=1.0, **kw).isnan().any())


def _check_gradient(x: Tensor, fu: Tensor, fd: Tensor, b: Tensor, kw: dict[str, Any]) -> None:
    """Without a clamp f(t u) = t f(u) for t > 0, so <f(x, b), v> = <x, df/dx v> + <b, df/db v>.

    (Euler's theorem.) Unlike a comparison of gradients, this does not depend on which side of the
    kink a sample near 0 is taken to be. Where there is no kink the gradients are compared too.
    """
    x, b = x.clone().requires_grad_(), b.clone().requires_grad_()
    y = filtered_lrelu_numba(x, fu, fd, b, **kw)
    v = torch.randn(y.shape)
    grad_x, grad_b = torch.autograd.grad(y, [x, b], v)
    left = (y.double() * v).sum()
    right = (x.double() * grad_x).sum() + (b.double() * grad_b).sum()
    scale = (y.abs() * v.abs()).sum() + (x.abs() * grad_x.abs()).sum() + 1e-6
    assert abs(float(((left - right) / scale).detach())) < 1e-5
    if kw["slope"] == 1:
        plain = filtered_lrelu_torch(x, fu, fd, b, **kw)
        expected = torch.autograd.grad(plain, [x, b], v)
        size = 1 + max(float(grad.abs().max()) for grad in expected)
        assert float((grad_x - expected[0]).abs().max()) < 1e-4 * size
        assert float((grad_b - expected[1]).abs().max()) < 1e-3 * size


def test_second_derivatives() -> None:
    """The penalty of a gradient, as R1 or path lengths need it, equals the plain path's."""
    fu, fd = _filters(2, 2)
    kw = {"up": 2, "down": 2, "padding": (9, 8, 9, 8), "gain": 1.4, "slope": 0.2, "clamp": 1.0}
    start, weights = torch.randn(1, 2, 12, 12), torch.randn(1, 2, 10, 10)
    results = []
    for function in (filtered_lrelu_numba, filtered_lrelu_torch):
        x = start.clone().requires_grad_()
        v = weights.clone().requires_grad_()
        y = function(x, fu, fd, torch.zeros(2), **kw)
        (gradient,) = torch.autograd.grad(y, x, v, create_graph=True)
        gradient.square().sum().backward()
        results.append((gradient.detach(), v.grad))
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)


def test_not_a_number_stays_visible() -> None:
    fu, fd = _filters(2, 2)
    x = torch.randn(1, 1, 20, 20)
    x[0, 0, 10, 10] = float("nan")
    y = filtered_lrelu(x, fu, fd, None, up=2, down=2, padding=(9, 8, 9, 8), clamp=256.0)
    assert bool(torch.isnan(y).any())
    z = filtered_lrelu(
        torch.randn(1, 1, 20, 20), fu, fd, None, up=2, down=2, padding=(9, 8, 9, 8), clamp=256.0
    )
    assert bool(torch.isfinite(z).all())


@pytest.mark.parametrize("count", [1, 2, 3])
def test_threads_do_not_change_a_bit(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fu, fd = _filters(2, 2)
    x = torch.randn(3, 5, 20, 20)
    kw = {"up": 2, "down": 2, "padding": (9, 8, 9, 8)}
    expected = filtered_lrelu(x, fu, fd, None, **kw)
    monkeypatch.setattr(threads, "_WORTHWHILE", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: count)
    assert torch.equal(filtered_lrelu(x, fu, fd, None, **kw), expected)
    one = torch.cat([filtered_lrelu(x[i : i + 1], fu, fd, None, **kw) for i in range(3)])
    assert torch.equal(one, expected)  # nor does what it was batched with
    with ThreadPoolExecutor(4) as callers:
        for result in callers.map(lambda _: filtered_lrelu(x, fu, fd, None, **kw), range(8)):
            assert torch.equal(result, expected)


def test_errors_in_a_thread_reach_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_WORTHWHILE", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)

    def fail(first: int, _last: int) -> None:
        if first > 0:
            raise RuntimeError("in the second range")

    with pytest.raises(RuntimeError, match="in the second range"):
        threads.run_in_ranges(fail, 10, 10)


def test_what_the_kernel_leaves_to_torch() -> None:
    fu, fd = _filters(2, 2)
    x = torch.randn(1, 1, 20, 20)
    assert is_supported(x, fu, fd, up=2, down=2)
    assert not is_supported(x.double(), fu, fd, up=2, down=2)
    assert is_supported(x.bfloat16(), fu, torch.outer(fd, fd), up=2, down=2)
    assert not is_supported(x, fu, fd.clone().requires_grad_(), up=2, down=2)
    assert not is_supported(x, fu, fd, up=8, down=2)
    assert not is_supported(x, None, None, up=1, down=1)
    y = filtered_lrelu(x.double(), fu.double(), fd.double(), up=2, down=2, padding=9)
    assert y.dtype == torch.float64


def test_too_small_an_image_is_refused() -> None:
    fu, fd = _filters(2, 2)
    with pytest.raises(ValueError, match="too small"):
        filtered_lrelu(torch.randn(1, 1, 4, 4), fu, fd, up=2, down=2)


def test_switching_kernels_off(monkeypatch: pytest.MonkeyPatch) -> None:
    fu, fd = _filters(2, 2)
    x = torch.randn(1, 1, 20, 20)
    monkeypatch.setattr(
        "tagloom.networks.ops.filtered_lrelu_numba.filtered_lrelu_numba",
        lambda *_args, **_kwargs: pytest.fail("the kernel was called"),
    )
    monkeypatch.setenv("TAGLOOM_KERNELS", "torch")
    filtered_lrelu(x, fu, fd, up=2, down=2, padding=9)
    monkeypatch.setenv("TAGLOOM_KERNELS", "fast")
    with pytest.raises(InvalidArgument, match="TAGLOOM_KERNELS"):
        filtered_lrelu(x, fu, fd, up=2, down=2, padding=9)


def test_a_forked_child_gets_threads_of_its_own() -> None:
    """A pool inherited over fork has no threads: waiting for it would never end."""
    script = (
        "import os, torch\n"
        "from tagloom.networks.ops import threads\n"
        "threads._WORTHWHILE = 1\n"
        "torch.get_num_threads = lambda: 2\n"
        "threads.run_in_ranges(lambda a, b: None, 4, 1)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    threads.run_in_ranges(lambda a, b: None, 4, 1)\n"
        "    os._exit(7)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
