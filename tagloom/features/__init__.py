"""Image features: what a distance between two sets of images is measured in.

`load_extractor` opens one by name, `default_extractor` the best that this machine has the weights
for. A metric is always named by the features it used: `FeatureExtractor.metric_name`.
"""

from __future__ import annotations

from tagloom.features.interface import FeatureExtractor
from tagloom.features.registry import (
    default_extractor,
    extractor_names,
    load_extractor,
    open_extractor,
)

__all__ = [
    "FeatureExtractor",
    "default_extractor",
    "extractor_names",
    "load_extractor",
    "open_extractor",
]
