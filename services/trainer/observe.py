"""Two looks at a training that its losses do not give: variety of the samples, and overfitting.

Both are deterministic and change nothing of the training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from services.trainer.dataset import TrainingImages
from tagloom.networks.sampling import seed_latent

__all__ = ["Observation", "Observer"]

_SAMPLES = 16
_SIDE = 16
"""px that images are averaged down to before they are compared"""
_JUDGED = 32
"""images of each kind that D scores"""
_LEAST_MARGIN = 0.1
"""between D's scores of training and generated images, below which their ratio is noise"""


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen at one moment."""

    diversity: float
    """mean distance between samples of fixed seeds, over that between training images"""
    overfitting: float | None
    """r_v of the ADA paper (arXiv 2006.06676, equation 1): 0 where D scores held-out images as
    training images, 1 where it scores them as generated ones; None without held-out images, or
    while D does not tell training from generated images"""


class Observer:
    """Looks at G_ema and D with the same samples and images each time."""

    def __init__(
        self, images: TrainingImages, held_out: TrainingImages | None, *, z_dim: int, group: int
    ) -> None:
        """group: images that D compares with each other in a batch."""
        self._training = _first(images, _JUDGED)
        self._held_out = None
        # D cannot score an image whose label nobody knows.
        if held_out is not None and (held_out.labels is None) == (images.labels is None):
            self._held_out = _first(held_out, _JUDGED)
        self._group = group
        self._latents = [seed_latent(seed, z_dim) for seed in range(_SAMPLES)]
        self._labels: Tensor | None = None
        """of the samples"""
        if images.labels is not None:
            self._labels = torch.from_numpy(images.labels.of_seeds(range(_SAMPLES)))
        self._real_distance = mean_distance(self._training[0])

    @torch.no_grad()
    def look(self, G_ema: nn.Module, D: nn.Module) -> Observation:
        """One observation; costs 16 images of G and up to 80 scores of D."""
        device = next(G_ema.parameters()).device
        # One by one, as snapshots show them: what a seed gives depends on nothing else.
        samples = torch.cat(
            [
                G_ema(z.to(device), _rows(self._labels, slice(index, index + 1), device)).cpu()
                for index, z in enumerate(self._latents)
            ]
        )
        # As a person sees them: colours beyond black and white are no variety.
        diversity = mean_distance(samples.clamp(-1, 1)) / max(self._real_distance, 1e-8)
        return Observation(diversity, self._overfitting(samples, D, device))

    def _overfitting(self, samples: Tensor, D: nn.Module, device: torch.device) -> float | None:
        if self._held_out is None:
            return None
        # Equal numbers, in whole groups: D sees the variety of a group.
        count = min(len(self._training[0]), len(self._held_out[0]))
        count = count // self._group * self._group or count

        def score(images: Tensor, labels: Tensor | None, count: int) -> float:
            size = min(self._group, count)
            parts = [slice(start, min(start + size, count)) for start in range(0, count, size)]
            scores = [D(images[part].to(device), _rows(labels, part, device)) for part in parts]
            return float(torch.cat(scores).mean())

        training, held_out = score(*self._training, count), score(*self._held_out, count)
        whole = len(samples) // self._group * self._group or len(samples)
        generated = score(samples, self._labels, whole)
        if training - generated < _LEAST_MARGIN:
            return None
        return (training - held_out) / (training - generated)


def mean_distance(images_NCHW: Tensor) -> float:
    """Mean over all pairs of the root mean square difference, at 16 px; 0 for a single image."""
    side = min(_SIDE, images_NCHW.shape[-1])
    small = F.adaptive_avg_pool2d(images_NCHW.to(torch.float32), side).flatten(1)
    if len(small) < 2:
        return 0.0
    return float(torch.pdist(small).mean() / small.shape[1] ** 0.5)


def _rows(labels: Tensor | None, rows: slice, device: torch.device) -> Tensor | None:
    return None if labels is None else labels[rows].to(device)


def _first(images: TrainingImages, count: int) -> tuple[Tensor, Tensor | None]:
    """Up to `count` images, evenly spread over the set, and their labels if they have some."""
    indices = np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).astype(np.int64))
    mirrored = np.zeros(len(indices), dtype=np.bool_)
    return images.batch(indices, mirrored), images.labels_of(indices)
