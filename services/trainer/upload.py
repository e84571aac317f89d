"""From the host to the device, without waiting for the device."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["upload"]


def upload(values: Tensor, device: torch.device) -> Tensor:
    """A host tensor on `device`; itself where that is the host.

    A GPU copies page-locked memory while the host goes on; a copy of any other memory is waited
    for, with all that was asked of the GPU before.
    """
    if device.type == "cpu":
        return values
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)
