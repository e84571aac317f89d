"""Inception-v3's pooled features, the ones that FID and KID are defined with.

The network is torch-fidelity's port of the original TensorFlow graph of 2015-12-05, bit-compatible
in its resize (bilinear to 299 x 299 as TensorFlow 1 did it, without antialiasing) and pooling, so
results compare with published ones. Nothing is improved here on purpose; it also inherits the
flaw that images larger than 299 px are resized with aliasing (Parmar et al., arXiv:2104.11222).

The weights are in no package registry and are never downloaded by this program: the user names
the file, and its SHA-256 must be the published one.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import ClassVar, Final

import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from tagloom.errors import FailedPrecondition
from tagloom.features.interface import FeatureExtractor
from tagloom.features.weights import (
    INCEPTION_ENVIRONMENT,
    inception_weights,
    read_pinned_state_dict,
)

__all__ = ["WEIGHTS_SHA256", "InceptionV3Features"]

WEIGHTS_SHA256: Final = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

_REMEDY: Final = (
    "get weights-inception-2015-12-05-6726825d.pth (95,628,359 bytes) from the releases of "
    "torch-fidelity (v0.2.0; pytorch-fid's pt_inception-2015-12-05-6726825d.pth is the same file) "
    f"and name it with --weights or the environment variable {INCEPTION_ENVIRONMENT}"
)


class InceptionV3Features(FeatureExtractor):
    """The 2048 pooled features of Inception-v3 (`pool3`), as torch-fidelity computes them."""

    name: ClassVar[str] = "inception_v3"
    version: ClassVar[str] = "1"
    dim: ClassVar[int] = 2048
    input_size: ClassVar[int] = 299
    micro_batch: ClassVar[int] = 8

    def __init__(
        self,
        weights: Path | None = None,
        device: torch.device | None = None,
        *,
        sha256: str = WEIGHTS_SHA256,
    ) -> None:
        """Load the network from `weights`, or from the file that the environment names.

        `sha256` is the digest the file must have; another than the published one makes features
        that are comparable only among themselves (the identifier shows it).

        Raises FailedPrecondition (WEIGHTS_NOT_GIVEN) when no file is named; NotFound and DataLoss
        as `read_pinned_state_dict` does.
        """
        super().__init__(sha256, device or torch.device("cpu"))
        path = weights or inception_weights()
        if path is None:
            raise FailedPrecondition(
                f"Inception-v3 needs its weights, which Tagloom does not ship: {_REMEDY}.",
                reason="WEIGHTS_NOT_GIVEN",
                variable=INCEPTION_ENVIRONMENT,
            )
        state = read_pinned_state_dict(
            path, sha256, what="the Inception-v3 weights", remedy=_REMEDY
        )
        # torch-fidelity opens its file with the unrestricted unpickler. It is handed bytes that
        # this process has just written itself, from tensors read with the restricted one.
        own = io.BytesIO()
        torch.save(state, own)
        own.seek(0)
        self.network: torch.nn.Module = FeatureExtractorInceptionV3(
            self.name, ["2048"], feature_extractor_weights_path=own
        ).to(self.device)

    def _features(self, images_uint8_NCHW: torch.Tensor) -> torch.Tensor:
        features_ND: torch.Tensor
        (features_ND,) = self.network(images_uint8_NCHW)
        return features_ND
