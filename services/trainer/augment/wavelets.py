"""The wavelet filters of the augmentation pipe (arXiv 2006.06676, appendix B)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SYM2", "SYM6", "band_filters"]

# Low-pass decomposition filters of the symlets (Daubechies, Ten Lectures on Wavelets, 1992).
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)


def band_filters(bands: int = 4) -> NDArray[np.float64]:
    """[bands, taps]: filters that add up to the identity, octave by octave, lowest first.

    Each is symmetric: a wavelet filter convolved with its mirror image.
    """
    low = np.asarray(SYM2)
    high = low * (-1.0) ** np.arange(low.size)
    low_power = np.convolve(low, low[::-1]) / 2
    high_power = np.convolve(high, high[::-1]) / 2
    bank = np.eye(bands, 1)
    for band in range(1, bands):
        spread = np.zeros([bands, 2 * bank.shape[1] - 1])
        spread[:, ::2] = bank
        bank = np.stack([np.convolve(row, low_power) for row in spread])
        start = (bank.shape[1] - high_power.size) // 2
        bank[band, start : start + high_power.size] += high_power
    return bank
