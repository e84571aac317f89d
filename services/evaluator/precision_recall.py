"""Improved precision and recall (Kynkaanniemi et al., arXiv:1904.06991, algorithm 1).

A set's manifold is the union of balls around its points, each reaching to the point's k-th nearest
neighbour in the set. Precision is the share of generated images inside the real manifold (does it
look real?), recall the share of real images inside the generated one (is all of it covered?).

Squared distances are |x|^2 + |y|^2 - 2 x.y in float64, of features less their common mean; what
that rounds away (about 1e-15 of the largest norm) is allowed for at the border, so a copied image
lies inside its original's ball even where that has no extent. (StyleGAN's own metric rounds
features to float16 first; that moves a few points across the border and is not repeated here.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from tagloom.errors import FailedPrecondition, InvalidArgument
from tagloom.features.interface import check_same_features

__all__ = ["PrecisionRecall", "precision_recall"]

_ROUNDING = 1e-12  # of the largest squared norm: far above rounding, far below any real distance
_BLOCK_ELEMENTS = 1 << 24  # of the distance matrix at a time: 128 MiB


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """Shares in 0..1."""

    precision: float
    recall: float


def precision_recall(
    real_ND: npt.NDArray[np.float32], generated_MD: npt.NDArray[np.float32], *, k: int = 3
) -> PrecisionRecall:
    """Improved precision and recall of a generated set against a real one.

    `real_ND` [n, D], `generated_MD` [m, D], n, m > k; `k` = 3 is the paper's choice.

    Raises InvalidArgument (FEATURES_DIFFER, NEIGHBOURS_INVALID), FailedPrecondition
    (TOO_FEW_IMAGES).
    """
    check_same_features(real_ND.shape[1], generated_MD.shape[1])
    if k < 1:
        raise InvalidArgument(
            f"The number of neighbours k is at least 1, not {k}.", reason="NEIGHBOURS_INVALID", k=k
        )
    for what, count in (("real", len(real_ND)), ("generated", len(generated_MD))):
        if count <= k:
            raise FailedPrecondition(
                f"Precision and recall with k = {k} need at least {k + 1} {what} images and got "
                f"{count}: add images.",
                reason="TOO_FEW_IMAGES",
                which=what,
                count=count,
                needed=k + 1,
            )
    real, generated = torch.from_numpy(real_ND).double(), torch.from_numpy(generated_MD).double()
    middle_D = real.mean(dim=0)
    real, generated = real - middle_D, generated - middle_D
    largest = max(float(points.square().sum(dim=1).max()) for points in (real, generated))
    border = _ROUNDING * largest
    return PrecisionRecall(
        precision=_share_inside(generated, real, _squared_radii(real, k) + border),
        recall=_share_inside(real, generated, _squared_radii(generated, k) + border),
    )


def _squared_distances(
    samples: torch.Tensor, points: torch.Tensor
) -> Iterator[tuple[int, torch.Tensor]]:
    """From some samples to all points, block by block, with the first sample's index."""
    norms = points.square().sum(dim=1)
    rows = max(1, _BLOCK_ELEMENTS // len(points))
    for start in range(0, len(samples), rows):
        block = samples[start : start + rows]
        yield start, block.square().sum(dim=1)[:, None] + norms - 2 * (block @ points.T)


def _squared_radii(points: torch.Tensor, k: int) -> torch.Tensor:
    """Squared distance of each point to its k-th nearest other point."""
    radii = []
    for start, distances in _squared_distances(points, points):
        index = torch.arange(len(distances))
        distances[index, start + index] = torch.inf  # a point is no neighbour of itself
        radii.append(distances.kthvalue(k, dim=1).values)
    return torch.cat(radii)


def _share_inside(
    samples: torch.Tensor, centres: torch.Tensor, squared_radii: torch.Tensor
) -> float:
    inside = 0
    for _, distances in _squared_distances(samples, centres):
        inside += int((distances <= squared_radii).any(dim=1).sum())
    return inside / len(samples)
