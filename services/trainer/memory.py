"""How much memory a training takes: of the machine, and of its GPU."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass

import torch

__all__ = ["GpuMemory", "gpu_memory", "peak_resident_memory"]


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """Bytes of one GPU."""

    peak: int
    """most that this process's tensors took since the last look"""
    free: int
    """what no process uses; PyTorch's own reserve is in use"""
    total: int


def gpu_memory(device: torch.device) -> GpuMemory | None:
    """A look at the GPU that `device` is, after which its peak counts anew; None for a CPU.

    Waits for nothing that runs there.
    """
    if device.type != "cuda":
        return None
    free, total = torch.cuda.mem_get_info(device)
    peak = torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    return GpuMemory(peak, free, total)


def peak_resident_memory() -> int:
    """Peak resident memory of this process in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
