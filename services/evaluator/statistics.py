"""Features and their statistics of real images, computed once per content and extractor.

They lie in the store under `statistics/<content>-<extractor>.safetensors`. The key holds
everything that the numbers depend on, so an entry never grows stale; it is derived, and a lost or
damaged one is computed again.
"""

from __future__ import annotations

import logging
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load, save

from services.evaluator.frechet import FeatureStatistics, statistics_of
from services.evaluator.images import ImageSet
from tagloom.artifacts import layout
from tagloom.features import FeatureExtractor
from tagloom.progress import Report
from tagloom.store.interface import ObjectNotFound, Store

__all__ = ["extract", "real_statistics"]

_LOG = logging.getLogger(__name__)

_PHASE: Final = "real features"
_CHUNK: Final = 64
"""images decoded at a time: bounds memory, and is how often progress is told"""


def real_statistics(
    store: Store, images: ImageSet, extractor: FeatureExtractor, report: Report
) -> FeatureStatistics:
    """Statistics of `images`, from the store when they were ever computed there.

    Raises what reading the images and `statistics_of` raise.
    """
    key = layout.statistics(images.content_sha256, extractor.identifier)
    cached = _load(store, key, count=len(images), dim=extractor.dim)
    if cached is not None:
        report(_PHASE, len(images), len(images), "already measured")
        return cached
    statistics = statistics_of(extract(images, extractor, report, phase=_PHASE))
    tensors: dict[str, npt.NDArray[np.generic]] = {
        "features": statistics.features,
        "mean": statistics.mean,
    }
    if statistics.scatter is not None:
        tensors["scatter"] = statistics.scatter
    store.put(key, save(tensors, metadata={"extractor": extractor.identifier}))
    return statistics


def extract(
    images: ImageSet, extractor: FeatureExtractor, report: Report, *, phase: str
) -> npt.NDArray[np.float32]:
    """Features [n, D] of every image in order, reported as `phase`."""
    features_ND = np.empty((len(images), extractor.dim), dtype=np.float32)
    iterator, done = iter(images), 0
    report(phase, 0, len(images))
    while chunk := list[torch.Tensor](islice(iterator, _CHUNK)):
        features_ND[done : done + len(chunk)] = extractor(chunk)
        done += len(chunk)
        report(phase, done, len(images))
    return features_ND


def _load(store: Store, key: str, *, count: int, dim: int) -> FeatureStatistics | None:
    """What lies under `key`, or None when nothing usable does."""
    try:
        tensors = load(store.get(key))
        features, mean = tensors["features"], tensors["mean"]
    except ObjectNotFound:
        return None
    except (SafetensorError, KeyError) as error:
        _LOG.warning("%s is damaged (%s); computing it again", key, error)
        return None
    scatter = tensors.get("scatter")
    if (
        features.shape != (count, dim)
        or mean.shape != (dim,)
        or (scatter is None) != (count < dim)
        or (scatter is not None and scatter.shape != (dim, dim))
        or not all(np.isfinite(tensor).all() for tensor in tensors.values())
    ):
        _LOG.warning("%s does not fit its key; computing it again", key)
        return None
    return FeatureStatistics(features, mean, scatter)
