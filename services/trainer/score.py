"""How near a generator is to real images, often and cheaply enough to be asked while it trains.

The kernel distance (KID, arXiv 1801.01401) is unbiased for small sets and has an interval. It is
measured against the images that were held out from training, where there are some; the evaluator's
scores of the same snapshots, on more images, remain the ones to report (docs/adr/0010).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from services.trainer.dataset import TrainingImages
from tagloom.artifacts.run import TrainingScore
from tagloom.errors import FailedPrecondition
from tagloom.features import FeatureExtractor, open_extractor
from tagloom.features.kernel import kernel_distance
from tagloom.networks.sampling import seed_latent, to_pixels

__all__ = ["Scorer"]

_BATCH = 16
_MOST_REAL = 2000
_LEAST_HELD_OUT = 8
"""held-out images, below which training images say more"""


class Scorer:
    """Scores generators by the images of the same seeds against the same real images.

    Nothing is loaded before the first score.
    """

    def __init__(
        self, images: TrainingImages, held_out: TrainingImages | None, *, samples: int, z_dim: int
    ) -> None:
        self._held_out = held_out is not None and len(held_out) >= _LEAST_HELD_OUT
        self._real = held_out if held_out is not None and self._held_out else images
        self._labels = images.labels
        self._samples, self._z_dim = samples, z_dim
        self._extractor: FeatureExtractor | None = None
        self._real_features = np.empty((0, 0), dtype=np.float32)

    def __call__(self, G_ema: nn.Module) -> TrainingScore:
        """The score of a generator; changes nothing of a training.

        Raises FailedPrecondition (GENERATOR_DIVERGED, TOO_FEW_IMAGES), and what opening the feature
        extractor raises.
        """
        extractor = self._open()
        generated = np.concatenate(
            [
                extractor(self._generate(G_ema, range(start, start + _BATCH)))
                for start in range(0, self._samples, _BATCH)
            ]
        )[: self._samples]
        distance = kernel_distance(self._real_features, generated)
        return TrainingScore(
            metric=extractor.metric_name("kernel"),
            value=distance.value,
            low=distance.low,
            high=distance.high,
            generated=len(generated),
            real=len(self._real_features),
            held_out=self._held_out,
        )

    def _open(self) -> FeatureExtractor:
        if self._extractor is None:
            self._extractor = open_extractor()
            count = min(len(self._real), _MOST_REAL)
            chosen = np.unique(np.linspace(0, len(self._real) - 1, count).astype(np.int64))
            self._real_features = self._features(chosen)
        return self._extractor

    def _features(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        assert self._extractor is not None
        parts = [indices[start : start + _BATCH] for start in range(0, len(indices), _BATCH)]
        return np.concatenate([self._extractor(self._real.pixels(part)) for part in parts])

    @torch.no_grad()
    def _generate(self, G_ema: nn.Module, seeds: range) -> torch.Tensor:
        """uint8 [B, 3, H, W] of the seeds, as the evaluator draws them."""
        device = next(G_ema.parameters()).device
        z_NZ = torch.cat([seed_latent(seed, self._z_dim) for seed in seeds]).to(device)
        c_NC = None
        if self._labels is not None:
            c_NC = torch.from_numpy(self._labels.of_seeds(seeds)).to(device)
        images: torch.Tensor = G_ema(z_NZ, c_NC)
        if not bool(torch.isfinite(images).all()):
            raise FailedPrecondition(
                "The generator makes images that are not finite, so that it cannot be scored; "
                "train with smaller learning rates or a larger r1_gamma.",
                reason="GENERATOR_DIVERGED",
            )
        return to_pixels(images).cpu()
