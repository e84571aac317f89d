"""The Frechet distance between two sets of features, as Gaussians.

d^2 = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))   (Dowson and Landau 1982; FID: Heusel et al.,
arXiv:1706.08500, section 3). All arithmetic is float64.

The trace of the matrix root is where implementations differ. `scipy.linalg.sqrtm` is slow, and
returns complex numbers when a covariance is singular, which it always is with fewer images than
dimensions. Two exact forms replace it:
- With centred features X1 [n1, D] and X2 [n2, D] it is the nuclear norm (the sum of singular
  values) of X1 X2^T / sqrt((n1 - ddof)(n2 - ddof)), because the nonzero eigenvalues of C1 C2 are
  the squares of that matrix's singular values. An n1 x n2 matrix: the choice when both n < D.
- Otherwise it is the sum of the roots of the eigenvalues of A C2 A, with A = C1^(1/2): symmetric,
  so its eigenvalues are real, and those below zero are rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tagloom.errors import FailedPrecondition, InvalidArgument
from tagloom.features.interface import check_same_features

__all__ = ["FeatureStatistics", "frechet_distance", "statistics_of"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FeatureStatistics:
    """What a set of images is known by: its features, their mean and, if worth it, covariance."""

    features: npt.NDArray[np.float32]
    """[n, D]"""
    mean: Array
    """[D]"""
    scatter: Array | None
    """[D, D]: the sum of outer products of centred features, that is, covariance times (n - ddof);
    None while n < D, where the features themselves are the smaller exact form"""

    @property
    def count(self) -> int:
        """n, the number of images."""
        return int(self.features.shape[0])

    @property
    def dim(self) -> int:
        """D, the number of dimensions."""
        return int(self.features.shape[1])

    def centred(self) -> Array:
        """Features less their mean, float64 [n, D]."""
        centred_ND: Array = self.features.astype(np.float64) - self.mean
        return centred_ND

    def covariance(self, ddof: int) -> Array:
        """Covariance [D, D] with divisor n - ddof."""
        if self.scatter is not None:
            return self.scatter / (self.count - ddof)
        centred_ND = self.centred()
        return centred_ND.T @ centred_ND / (self.count - ddof)


def statistics_of(features_ND: npt.NDArray[np.float32]) -> FeatureStatistics:
    """Mean and scatter of features [n, D].

    Raises InvalidArgument (FEATURES_INVALID) unless they are a finite matrix, FailedPrecondition
    (TOO_FEW_IMAGES) when n < 2.
    """
    if features_ND.ndim != 2 or features_ND.shape[1] == 0 or not np.isfinite(features_ND).all():
        raise InvalidArgument(
            f"Features must be a matrix of finite numbers, one row an image; got shape "
            f"{list(features_ND.shape)}: look at the images and the extractor's weights.",
            reason="FEATURES_INVALID",
            shape=list(features_ND.shape),
        )
    count, dim = features_ND.shape
    if count < 2:
        raise FailedPrecondition(
            f"A set of {count} image(s) has no spread to compare; give 2 or more, better hundreds.",
            reason="TOO_FEW_IMAGES",
            count=count,
            needed=2,
        )
    wide_ND = features_ND.astype(np.float64)
    mean_D = wide_ND.mean(axis=0)
    scatter_DD: Array | None = None
    if count >= dim:
        wide_ND -= mean_D
        scatter_DD = wide_ND.T @ wide_ND
    return FeatureStatistics(np.ascontiguousarray(features_ND, np.float32), mean_D, scatter_DD)


def frechet_distance(
    first: FeatureStatistics, second: FeatureStatistics, *, ddof: int = 1
) -> float:
    """The squared Frechet distance between the Gaussians of two sets; 0 when they agree.

    `ddof`: covariances divide by n - ddof. 1 is what TTUR, pytorch-fid, clean-fid and
    torch-fidelity do (`numpy.cov`); 0 is what StyleGAN's own metrics do.

    The value is biased upwards for small sets: compare only values of equal counts.

    Raises InvalidArgument (FEATURES_DIFFER) when the dimensions differ.
    """
    check_same_features(first.dim, second.dim)
    if ddof not in (0, 1):
        raise InvalidArgument(f"ddof is 0 or 1, not {ddof}.", reason="DDOF_INVALID", ddof=ddof)
    divisor1, divisor2 = first.count - ddof, second.count - ddof
    shift_D = first.mean - second.mean
    low_rank = first.count < first.dim and second.count < second.dim
    if low_rank:
        centred1_ND, centred2_ND = first.centred(), second.centred()
        trace1 = float(np.square(centred1_ND).sum()) / divisor1
        trace2 = float(np.square(centred2_ND).sum()) / divisor2
        singular = np.linalg.svd(centred1_ND @ centred2_ND.T, compute_uv=False)
        root = float(singular.sum()) / float(np.sqrt(divisor1 * divisor2))
    else:
        covariance1_DD, covariance2_DD = first.covariance(ddof), second.covariance(ddof)
        trace1, trace2 = float(np.trace(covariance1_DD)), float(np.trace(covariance2_DD))
        root = _trace_of_root(covariance1_DD, covariance2_DD)
    squared = float(shift_D @ shift_D) + trace1 + trace2 - 2 * root
    # Rounding can leave a tiny negative number where the sets agree; a distance is not negative.
    return max(squared, 0.0)


def _trace_of_root(covariance1_DD: Array, covariance2_DD: Array) -> float:
    """tr((C1 C2)^(1/2)) of two covariances, by two symmetric eigendecompositions."""
    values_D, vectors_DD = np.linalg.eigh(covariance1_DD)
    scaled_DD = vectors_DD * np.sqrt(values_D.clip(min=0))
    # scaled^T C2 scaled has the eigenvalues of A C2 A: the two differ by a rotation.
    inner_DD = scaled_DD.T @ covariance2_DD @ scaled_DD
    return float(np.sqrt(np.linalg.eigvalsh((inner_DD + inner_DD.T) / 2).clip(min=0)).sum())
