"""Inception-v3: torch-fidelity's features exactly, from a file that is what it should be."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from tagloom.errors import DataLoss, FailedPrecondition, NotFound
from tagloom.features.inception_v3 import WEIGHTS_SHA256, InceptionV3Features
from tagloom.features.weights import INCEPTION_ENVIRONMENT


def three_photos() -> torch.Tensor:
    cat_HWC, cup_HWC = data.chelsea()[:300, :300], data.coffee()[:300, :300]
    return torch.from_numpy(np.stack([cat_HWC, cup_HWC, cat_HWC[::-1]])).permute(0, 3, 1, 2)


def test_features_equal_torch_fidelitys(
    inception_file: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sha256 = inception_file
    monkeypatch.setattr(InceptionV3Features, "micro_batch", 3)
    features_ND = InceptionV3Features(path, sha256=sha256)(three_photos())
    reference = FeatureExtractorInceptionV3("reference", ["2048"], str(path))
    (expected_ND,) = reference(three_photos())
    assert features_ND.shape == (3, 2048)
    np.testing.assert_allclose(features_ND, expected_ND.numpy(), rtol=1e-5, atol=1e-6)
    # Random weights that were not loaded, or an image that was not seen, would show here.
    assert np.abs(features_ND[0] - features_ND[1]).max() > 1e-3


def test_other_weights_than_the_published_ones_are_refused(
    inception_file: tuple[Path, str],
) -> None:
    path, sha256 = inception_file
    with pytest.raises(DataLoss) as caught:
        InceptionV3Features(path)
    assert caught.value.reason == "WEIGHTS_HASH_MISMATCH"
    assert sha256 in caught.value.message
    assert WEIGHTS_SHA256 in caught.value.message


def test_without_weights_the_error_says_where_they_come_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(INCEPTION_ENVIRONMENT, raising=False)
    with pytest.raises(FailedPrecondition, match="torch-fidelity") as caught:
        InceptionV3Features()
    assert caught.value.reason == "WEIGHTS_NOT_GIVEN"
    assert INCEPTION_ENVIRONMENT in caught.value.message
    monkeypatch.setenv(INCEPTION_ENVIRONMENT, str(tmp_path / "absent.pth"))
    with pytest.raises(NotFound, match=r"absent\.pth"):
        InceptionV3Features()


def test_a_pickle_that_runs_code_is_never_run(tmp_path: Path) -> None:
    """Even with its digest accepted, only the restricted unpickler sees it."""
    import hashlib

    ran = tmp_path / "PWNED"

    class Trap:
        def __reduce__(self):
            return (Path.touch, (ran,))

    buffer = io.BytesIO()
    torch.save({"weight": Trap()}, buffer)
    path = tmp_path / "trap.pth"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(pickle.UnpicklingError):
        InceptionV3Features(path, sha256=hashlib.sha256(buffer.getvalue()).hexdigest())
    assert not ran.exists()
    torch.load(path, weights_only=False)  # the trap itself works
    assert ran.exists()
