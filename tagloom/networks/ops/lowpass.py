"""Design of StyleGAN3's low-pass filters."""

from __future__ import annotations

import numpy as np
import scipy.signal
import scipy.special
import torch
from torch import Tensor

__all__ = ["design_lowpass_filter"]


def design_lowpass_filter(
    numtaps: int, *, cutoff: float, width: float, fs: float, radial: bool = False
) -> Tensor | None:
    """A Kaiser-windowed low-pass filter with unit gain at frequency 0.

    cutoff: in the unit of fs, where the response is one half.
    width: of the transition band, both sides together.
    fs: sampling rate.
    radial: a two-dimensional, rotation-invariant filter: a jinc in a separable Kaiser window.
    Returns float32 [numtaps], or [numtaps, numtaps] if radial; None for one tap (no filter).
    Source: arXiv 2106.12423, appendix C.1.
    """
    if numtaps < 1:
        raise ValueError(f"a filter has at least 1 tap, not {numtaps}")
    if numtaps == 1:
        return None
    if not radial:
        taps = scipy.signal.firwin(numtaps, cutoff, width=width, fs=fs)
        return torch.as_tensor(taps, dtype=torch.float32)

    x = (np.arange(numtaps) - (numtaps - 1) / 2) / fs
    radius = np.hypot(*np.meshgrid(x, x))
    safe = np.where(radius == 0, 1, radius)  # the jinc's limit at 0 is `cutoff`
    jinc = np.where(
        radius == 0, cutoff, scipy.special.j1(2 * cutoff * np.pi * safe) / (np.pi * safe)
    )
    beta = scipy.signal.kaiser_beta(scipy.signal.kaiser_atten(numtaps, width / (fs / 2)))
    window = np.kaiser(numtaps, beta)
    kernel = jinc * np.outer(window, window)
    return torch.as_tensor(kernel / kernel.sum(), dtype=torch.float32)
