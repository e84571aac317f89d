"""Real photos, and a weights file for Inception-v3's architecture."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
import torch

from tagloom.features.efficientnet_lite0 import EfficientNetLite0Features


@pytest.fixture(scope="session")
def lite0() -> EfficientNetLite0Features:
    return EfficientNetLite0Features()


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A file in the layout of the published one, with random weights, and its SHA-256.

    The published weights are in no package registry. torchvision's network has the same tensors
    once its auxiliary head is left out and its classifier has TensorFlow's 1008 classes.
    """
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    network = inception_v3(weights=None, aux_logits=False, init_weights=False, num_classes=1008)
    for name, parameter in network.named_parameters():
        if name.endswith("conv.weight"):  # the default would let the signal die in so many layers
            torch.nn.init.kaiming_normal_(parameter)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    buffered = io.BytesIO()
    torch.save(network.state_dict(), buffered)
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    path.write_bytes(buffered.getvalue())
    return path, hashlib.sha256(buffered.getvalue()).hexdigest()
