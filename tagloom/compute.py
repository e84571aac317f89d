"""The environment of processes that compute on a CPU. It only counts before exec."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["COMPUTE_ENVIRONMENT"]

COMPUTE_ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {
        # glibc gives large blocks back to the system after every tensor; keeping them made a step
        # of StyleGAN3 about twice as fast.
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": "1099511627776",
        # Threads that wait for work sleep instead of spinning: beside other processes, that
        # trained 12 images a second where spinning threads trained 1.5 (benchmarks/RESULTS.md).
        "OMP_WAIT_POLICY": "PASSIVE",
    }
)
"""Whoever starts such a process sets these; what the user has set should win."""
