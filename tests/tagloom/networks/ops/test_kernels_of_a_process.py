"""What a new process does about compiled kernels: find them, compile them, or go without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
CALL = """
import torch
from tagloom.networks.ops.filtered_lrelu import filtered_lrelu, kernel_for
torch.manual_seed(0)
x, f = torch.randn(1, 3, 9, 9, requires_grad=True), torch.rand(12) / 6
y = filtered_lrelu(x, f, f, up=2, down=2, padding=11, clamp=1.0)
y.sum().backward()
print(kernel_for(x.device).__name__, f"{float(y.detach().sum()):.2f}", f"{float(x.grad.sum()):.2f}")
"""


def run(before: str = "", **environment: str) -> list[str]:
    """The kernel's name, and two sums of what it computed, from a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", before + CALL],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_a_kernel_is_compiled_once_for_all_processes(tmp_path: Path) -> None:
    first = run(NUMBA_CACHE_DIR=str(tmp_path))
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.nb?")}
    assert len(kept) >= 3, "an index, a forward pass and a backward pass"
    assert run(NUMBA_CACHE_DIR=str(tmp_path)) == first
    assert kept == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.nb?")}


def test_without_numba_or_a_place_to_keep_kernels_everything_still_runs() -> None:
    kept = run(
        NUMBA_CACHE_DIR="/proc/nowhere", NUMBA_CACHE_LOCATOR_CLASSES="UserProvidedCacheLocator"
    )
    without = run(before="import sys; sys.modules['numba'] = None\n")
    assert kept[0] == "filtered_lrelu_numba"
    assert without[0] == "filtered_lrelu_torch"
    assert kept[1:] == without[1:]
