"""What every feature extractor promises: pooled features that depend on the image alone.

A network's output for one image can change in its last bits with the size of the batch it rides
in, because the matrix kernels split the work differently (torchmetrics #1620 is a FID that moved
with the batch size). Here every forward pass has one fixed batch shape: the last one is padded
and its padding is thrown away, so features are the same however the caller slices a set.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import torch

from tagloom.artifacts.evaluation import Metric
from tagloom.errors import InvalidArgument

__all__ = ["FeatureExtractor", "check_same_features"]

# Established names belong to Inception-v3's pooled features alone (Heusel et al. 2017 for FID,
# Binkowski et al. 2018 for KID). Precision and recall were published with VGG-16 features, so
# they name theirs always.
_INCEPTION_NAMES: Final[dict[Metric, str]] = {"frechet": "fid", "kernel": "kid"}


class FeatureExtractor(abc.ABC):
    """Maps 8-bit RGB images to one float32 vector each.

    Subclasses set `name`, `version`, `dim`, `input_size` and `micro_batch`, and implement
    `_features`.
    """

    name: ClassVar[str]
    """lower case with underscores; part of metric names"""
    version: ClassVar[str]
    """raised whenever the same image would give other features (preprocessing, layer)"""
    dim: ClassVar[int]
    """length of a feature vector"""
    input_size: ClassVar[int]
    """side in pixels that every image is resized to"""
    micro_batch: ClassVar[int]
    """images in every forward pass"""

    def __init__(self, weights_sha256: str, device: torch.device) -> None:
        self.weights_sha256: Final[str] = weights_sha256
        self.device: Final[torch.device] = device

    @property
    def identifier(self) -> str:
        """Names the features exactly: equal identifiers mean comparable vectors.

        Part of the keys of cached statistics.
        """
        return f"{self.name}-{self.version}-{self.weights_sha256[:8]}"

    def metric_name(self, metric: Metric) -> str:
        """The published name of `metric` measured in these features.

        `fid` and `kid` mean Inception-v3's pooled features and nothing else; every other result
        carries the features' name (`frechet_efficientnet_lite0`).
        """
        if self.name == "inception_v3" and metric in _INCEPTION_NAMES:
            return _INCEPTION_NAMES[metric]
        return f"{metric}_{self.name}"

    def __call__(
        self, images_uint8_NCHW: torch.Tensor | Sequence[torch.Tensor]
    ) -> npt.NDArray[np.float32]:
        """Features of each image, in order: float32 [N, dim].

        `images_uint8_NCHW`: uint8 RGB in 0..255, either one [N, 3, H, W] tensor or a sequence of
        [3, H, W] tensors of any sizes. N may be 0.

        Raises InvalidArgument (IMAGE_NOT_RGB8) for another type, rank or number of channels.
        """
        images = list(images_uint8_NCHW)
        by_size: dict[tuple[int, ...], list[int]] = {}
        for index, image_CHW in enumerate(images):
            _check_rgb8(image_CHW)
            by_size.setdefault(tuple(image_CHW.shape), []).append(index)
        features_ND = np.empty((len(images), self.dim), dtype=np.float32)
        for indices in by_size.values():
            for start in range(0, len(indices), self.micro_batch):
                chunk = indices[start : start + self.micro_batch]
                # Repeating the last image is as good a padding as any: rows do not mix.
                padded = chunk + chunk[-1:] * (self.micro_batch - len(chunk))
                batch_NCHW = torch.stack([images[index] for index in padded]).to(self.device)
                with torch.inference_mode():
                    rows_ND = self._features(batch_NCHW)
                features_ND[chunk] = rows_ND[: len(chunk)].float().cpu().numpy()
        return features_ND

    @abc.abstractmethod
    def _features(self, images_uint8_NCHW: torch.Tensor) -> torch.Tensor:
        """Features [micro_batch, dim] of a full micro-batch on `self.device`."""


def _check_rgb8(image_CHW: torch.Tensor) -> None:
    shape = tuple(image_CHW.shape)
    if image_CHW.dtype != torch.uint8 or len(shape) != 3 or shape[0] != 3 or 0 in shape:
        raise InvalidArgument(
            f"Features need 8-bit RGB images of shape [3, height, width], not {image_CHW.dtype} "
            f"of shape {list(shape)}: convert the images first.",
            reason="IMAGE_NOT_RGB8",
            shape=list(shape),
            dtype=image_CHW.dtype,
        )


def check_same_features(first: int, second: int) -> None:
    """Raises InvalidArgument (FEATURES_DIFFER) if two sets have other numbers of dimensions."""
    if first != second:
        raise InvalidArgument(
            f"The two sets were measured in different features ({first} and {second} dimensions): "
            "use one extractor for both.",
            reason="FEATURES_DIFFER",
            first=first,
            second=second,
        )
