"""The kernel distance: squared maximum mean discrepancy with the cubic polynomial kernel.

k(x, y) = (x.y / D + 1)^3, and the unbiased estimate of MMD^2 (Gretton et al. 2012, equation 3;
as KID: Binkowski et al., arXiv:1801.01401, section 4):

    sum_{i != j} k(x_i, x_j) / n(n-1)  +  sum_{i != j} k(y_i, y_j) / m(m-1)  -  2 mean k(x_i, y_j)

Unbiased: its expectation does not depend on the counts (unlike the Frechet distance's), so it
suits small sets, and it can be slightly negative when the sets agree.

The interval. Published tools average over random subsets and print the spread between subsets,
which speaks of the subset's size, not of the estimate. Here the whole sets are used once, and the
standard error is the two-sample delete-one jackknife's (Arvesen 1969; for a U-statistic it needs
only the row sums of the kernel matrices that are there anyway); the interval is the value +- 1.96
of it. No random draw: the same sets give the same interval. Tests measure its coverage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tagloom.errors import FailedPrecondition
from tagloom.features.interface import check_same_features

__all__ = ["KernelDistance", "kernel_distance", "kernel_distance_of_subsets"]

_Z95 = 1.959963984540054
_BLOCK_ELEMENTS = 1 << 24  # of the kernel matrix at a time: 128 MiB


@dataclass(frozen=True, slots=True)
class KernelDistance:
    """MMD^2 with its 95 % interval."""

    value: float
    low: float
    high: float


def kernel_distance(
    real_ND: npt.NDArray[np.float32], generated_MD: npt.NDArray[np.float32]
) -> KernelDistance:
    """Unbiased MMD^2 between two sets of features with its jackknife 95 % interval.

    `real_ND` [n, D], `generated_MD` [m, D]; n, m >= 3 (with 2, leaving one out leaves no pair).
    Cost O((n + m)^2 D) in float64, in blocks: memory O((n + m) D).

    Raises InvalidArgument (FEATURES_DIFFER), FailedPrecondition (TOO_FEW_IMAGES).
    """
    _check(real_ND, generated_MD, needed=3)
    x, y = real_ND.astype(np.float64), generated_MD.astype(np.float64)
    n, m = len(x), len(y)
    within_x_N, _ = _row_and_column_sums(x, x, diagonal=False)
    within_y_M, _ = _row_and_column_sums(y, y, diagonal=False)
    across_N, across_M = _row_and_column_sums(x, y)
    sum_xx, sum_yy, sum_xy = within_x_N.sum(), within_y_M.sum(), across_N.sum()
    mean_xx, mean_yy = sum_xx / (n * (n - 1)), sum_yy / (m * (m - 1))
    value = mean_xx + mean_yy - 2 * sum_xy / (n * m)
    # The estimate without image i: all sums less what i took part in.
    without_x_N = (
        (sum_xx - 2 * within_x_N) / ((n - 1) * (n - 2))
        + mean_yy
        - 2 * (sum_xy - across_N) / ((n - 1) * m)
    )
    without_y_M = (
        mean_xx
        + (sum_yy - 2 * within_y_M) / ((m - 1) * (m - 2))
        - 2 * (sum_xy - across_M) / (n * (m - 1))
    )
    variance = (n - 1) * without_x_N.var() + (m - 1) * without_y_M.var()
    half = _Z95 * float(np.sqrt(variance))
    return KernelDistance(float(value), float(value) - half, float(value) + half)


def kernel_distance_of_subsets(
    real_ND: npt.NDArray[np.float32],
    generated_MD: npt.NDArray[np.float32],
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 2020,
) -> tuple[float, float]:
    """Mean and standard deviation of MMD^2 over random subsets: torch-fidelity's KID, its draws.

    For comparison with numbers that others publish; `kernel_distance` estimates the same quantity
    with less variance. The defaults are torch-fidelity's, which is called with the generated set
    as its first input.

    Raises InvalidArgument (FEATURES_DIFFER), FailedPrecondition (TOO_FEW_IMAGES) when a set is
    smaller than a subset.
    """
    _check(real_ND, generated_MD, needed=max(subset_size, 2))
    random = np.random.RandomState(seed)
    distances = np.empty(subsets)
    for index in range(subsets):
        y = generated_MD[random.choice(len(generated_MD), subset_size, replace=False)]
        x = real_ND[random.choice(len(real_ND), subset_size, replace=False)]
        distances[index] = _unbiased(x.astype(np.float64), y.astype(np.float64))
    return float(distances.mean()), float(distances.std())


def _unbiased(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    n, m = len(x), len(y)
    return float(
        _row_and_column_sums(x, x, diagonal=False)[0].sum() / (n * (n - 1))
        + _row_and_column_sums(y, y, diagonal=False)[0].sum() / (m * (m - 1))
        - 2 * _row_and_column_sums(x, y)[0].sum() / (n * m)
    )


def _row_and_column_sums(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], *, diagonal: bool = True
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Sums of the kernel matrix k(x_i, y_j) over j and over i; `diagonal`: with i = j."""
    row_sums, column_sums = np.empty(len(x)), np.zeros(len(y))
    rows = max(1, _BLOCK_ELEMENTS // len(y))
    for start in range(0, len(x), rows):
        kernel = x[start : start + rows] @ y.T
        kernel /= x.shape[1]
        kernel += 1
        kernel *= kernel * kernel
        if not diagonal:
            index = np.arange(len(kernel))
            kernel[index, start + index] = 0
        row_sums[start : start + rows] = kernel.sum(axis=1)
        column_sums += kernel.sum(axis=0)
    return row_sums, column_sums


def _check(
    real_ND: npt.NDArray[np.float32], generated_MD: npt.NDArray[np.float32], *, needed: int
) -> None:
    check_same_features(real_ND.shape[1], generated_MD.shape[1])
    for what, count in (("real", len(real_ND)), ("generated", len(generated_MD))):
        if count < needed:
            raise FailedPrecondition(
                f"The kernel distance needs at least {needed} {what} images and got {count}: "
                "add images.",
                reason="TOO_FEW_IMAGES",
                which=what,
                count=count,
                needed=needed,
            )
