"""Feature extractors by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch

from tagloom.errors import InvalidArgument
from tagloom.features.interface import FeatureExtractor
from tagloom.features.weights import inception_weights

__all__ = ["default_extractor", "extractor_names", "load_extractor", "open_extractor"]

INCEPTION_V3: Final = "inception_v3"
EFFICIENTNET_LITE0: Final = "efficientnet_lite0"
EFFICIENTNET_LITE0_EARLY: Final = "efficientnet_lite0_early"


# Imported when asked for: torch-fidelity pulls in torchvision, which the others do without.
def _inception_v3(weights: Path | None, device: torch.device) -> FeatureExtractor:
    from tagloom.features.inception_v3 import InceptionV3Features

    return InceptionV3Features(weights, device)


def _efficientnet_lite0(weights: Path | None, device: torch.device) -> FeatureExtractor:
    from tagloom.features.efficientnet_lite0 import EfficientNetLite0Features

    return EfficientNetLite0Features(weights, device)


def _efficientnet_lite0_early(weights: Path | None, device: torch.device) -> FeatureExtractor:
    from tagloom.features.efficientnet_lite0 import EfficientNetLite0EarlyFeatures

    return EfficientNetLite0EarlyFeatures(weights, device)


_LOADERS: Final[dict[str, Callable[[Path | None, torch.device], FeatureExtractor]]] = {
    EFFICIENTNET_LITE0: _efficientnet_lite0,
    EFFICIENTNET_LITE0_EARLY: _efficientnet_lite0_early,
    INCEPTION_V3: _inception_v3,
}


def extractor_names() -> tuple[str, ...]:
    """Every name that `load_extractor` takes, sorted."""
    return tuple(sorted(_LOADERS))


def load_extractor(
    name: str, weights: Path | None = None, *, device: torch.device | None = None
) -> FeatureExtractor:
    """The extractor called `name`, ready to use on `device` (default: a GPU if there is one).

    `weights`: its weights file, where it does not come with a package (`inception_v3`).

    Raises InvalidArgument (FEATURES_UNKNOWN), and what the extractor's constructor raises when
    its weights are missing or are not the expected ones.
    """
    loader = _LOADERS.get(name)
    if loader is None:
        known = ", ".join(extractor_names())
        raise InvalidArgument(
            f"There is no feature extractor {name!r}: choose one of {known}.",
            reason="FEATURES_UNKNOWN",
            name=name,
            known=known,
        )
    if device is None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return loader(weights, device)


def default_extractor(*, device: torch.device | None = None) -> FeatureExtractor:
    """Inception-v3 where the environment names its weights, else EfficientNet-Lite0.

    A named file that is missing or wrong is an error, not a reason to fall back in silence.
    """
    name = EFFICIENTNET_LITE0 if inception_weights() is None else INCEPTION_V3
    return load_extractor(name, device=device)


def open_extractor(name: str = "") -> FeatureExtractor:
    """The extractor called `name`, the default one for an empty name."""
    return load_extractor(name) if name else default_extractor()
