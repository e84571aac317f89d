"""Is the photo of something else than the others: the odd picture of a post with many?

Stored: pooled features of EfficientNet-Lite0 (`services.filter.lite0`) of the whole photo squeezed
to 224 px, in 1280 bytes. What is in a photo moves them far more than how it was taken.

Judged: the mean cosine distance to the nearest photos among up to 256 of the collection, over the
collection's median of the same, unit `times`, about 1 for a usual photo. Asked are 2 % of those, at
least 3: a topic that makes up some percent of the collection is a topic, so a collection may have
several, and a lone picture has none. Collections of fewer than 50 photos are too small to tell;
there all are 1.

Known failures: off-topic pictures that come in numbers are a topic; a hashtag whose photos have
nothing in common has no odd ones; an unusual view of the right thing may count as odd.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from services.filter.checks.base import Check, Member, Related, Score, apart
from services.filter.decode import Photo
from services.filter.lite0 import FEATURES, SIDE, features

__all__ = ["CHECK"]

_LARGEST = 6.0
"""features lie between 0 and this (ReLU6)"""
_LEAST = 50
"""photos without which nothing is said"""
_ASKED = 256
_NEAREST = 0.02
_AT_LEAST = 3


def score(photo: Photo) -> Score:
    """0; the features are the vector."""
    rgb = cv2.resize(photo.rgb, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    scaled = np.round(features(np.asarray(rgb, np.uint8)) * (255 / _LARGEST))
    return Score(0.0, vector=scaled.astype(np.uint8).tobytes())


def relate(members: Sequence[Member]) -> list[Related]:
    """How far each photo is from the others, in medians."""
    count = len(members)
    if count < _LEAST:
        return [Related(1.0)] * count
    vectors = b"".join(member.measured.score.vector for member in members)
    x_ND = np.frombuffer(vectors, np.uint8).reshape(count, FEATURES).astype(np.float32)
    norms = np.sqrt(np.maximum(np.einsum("nd,nd->n", x_ND, x_ND), 1e-6))
    # By hash, not by place: which are asked does not depend on the order of the collection.
    by_hash = sorted(range(count), key=lambda index: members[index].sha256)
    asked = np.array(by_hash)[np.linspace(0, count - 1, min(count, _ASKED)).astype(int)]
    nearest = max(_AT_LEAST, round(_NEAREST * len(asked)))
    cosines = x_ND @ (x_ND[asked] / norms[asked, None]).T
    cosines /= norms[:, None]
    cosines[asked, np.arange(len(asked))] = -np.inf  # to itself
    close = 1 - np.partition(cosines, -nearest, axis=1)[:, -nearest:].mean(axis=1)
    ratios = close / max(float(np.median(close)), 1e-6)
    return [Related(round(float(ratio), 4)) for ratio in ratios]


CHECK = Check(
    name="off_topic",
    version="1",
    unit="times",
    minimum=False,
    threshold=2.5,
    low=0.0,
    high=100.0,
    score=score,
    explain=lambda value, threshold: (
        "It resembles the others {} times less than usual, above {}.".format(
            *apart(value, threshold, 1)
        )
    ),
    relate=relate,
    side=SIDE,
)
