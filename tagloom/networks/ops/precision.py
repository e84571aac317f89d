"""Mixed precision: convolutions in bfloat16, everything that is delicate in float32.

    with mixed_precision(torch.bfloat16):
        images = G(z)

Weights, styles, normalisations, Fourier features, the colours and a discriminator's last block stay
in float32; features between the convolutions are kept in the smaller type. Sums are accumulated in
float32 everywhere. Off unless asked for: results then differ in the third digit, and R1 and path
lengths, which differentiate twice, are always computed in float32 (arXiv 2006.06676, appendix C).
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import torch

__all__ = ["compute_dtype", "mixed_precision"]

_dtype: contextvars.ContextVar[torch.dtype | None] = contextvars.ContextVar("dtype", default=None)


def compute_dtype() -> torch.dtype | None:
    """The type of convolutions and features; None: whatever they are given."""
    return _dtype.get()


@contextlib.contextmanager
def mixed_precision(dtype: torch.dtype | None) -> Iterator[None]:
    """Networks called in the block, by this thread, compute in `dtype`; None: in full precision.

    dtype: torch.bfloat16. (float16 would need the scaling of losses.)
    """
    if dtype not in (None, torch.bfloat16):
        raise ValueError(f"mixed precision is torch.bfloat16 or None, not {dtype}")
    token = _dtype.set(dtype)
    try:
        yield
    finally:
        _dtype.reset(token)
