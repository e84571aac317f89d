"""Features depend on the image, not on the batch it rides in; names say what was measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tagloom.errors import InvalidArgument
from tagloom.features import FeatureExtractor
from tagloom.features.efficientnet_lite0 import EfficientNetLite0Features
from tagloom.features.inception_v3 import InceptionV3Features


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (11, 3, 32, 32), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module")
def features(lite0: EfficientNetLite0Features, images: torch.Tensor) -> np.ndarray:
    return lite0(images)


def test_features_are_float32_rows(lite0, images, features) -> None:
    assert features.shape == (len(images), lite0.dim)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert (features.std(axis=0) > 0).mean() > 0.5  # they tell images apart


@pytest.mark.parametrize(("start", "end"), [(0, 1), (5, 6), (10, 11), (0, 3), (9, 11), (0, 11)])
def test_batch_size_does_not_change_a_bit(lite0, images, features, start: int, end: int) -> None:
    np.testing.assert_array_equal(lite0(images[start:end]), features[start:end])


@settings(max_examples=3, deadline=None)
@given(st.permutations(range(11)))
def test_order_follows_the_images(lite0, images, features, order: list[int]) -> None:
    np.testing.assert_array_equal(lite0(images[torch.tensor(order)]), features[order])


def test_images_of_many_sizes_in_one_call(lite0, images, features) -> None:
    big_CHW = torch.arange(3 * 300 * 250, dtype=torch.int64).remainder(251).to(torch.uint8)
    big_CHW = big_CHW.reshape(3, 300, 250)
    mixed = [images[0], big_CHW, images[1], images[2], big_CHW]
    rows = lite0(mixed)
    np.testing.assert_array_equal(rows[[0, 2, 3]], features[:3])
    np.testing.assert_array_equal(rows[[1, 4]], np.repeat(lite0([big_CHW]), 2, axis=0))


def test_no_images_give_no_rows(lite0) -> None:
    assert lite0([]).shape == (0, lite0.dim)


@pytest.mark.parametrize(
    "image",
    [
        torch.zeros(3, 8, 8),  # float
        torch.zeros(1, 8, 8, dtype=torch.uint8),  # gray
        torch.zeros(4, 8, 8, dtype=torch.uint8),  # with alpha
        torch.zeros(8, 8, dtype=torch.uint8),
        torch.zeros(3, 0, 8, dtype=torch.uint8),
    ],
)
def test_other_than_rgb8_is_refused(lite0, image: torch.Tensor) -> None:
    with pytest.raises(InvalidArgument) as caught:
        lite0([image])
    assert caught.value.reason == "IMAGE_NOT_RGB8"


@pytest.mark.parametrize(
    ("kind", "metric", "name"),
    [
        (InceptionV3Features, "frechet", "fid"),
        (InceptionV3Features, "kernel", "kid"),
        (InceptionV3Features, "precision", "precision_inception_v3"),
        (EfficientNetLite0Features, "frechet", "frechet_efficientnet_lite0"),
        (EfficientNetLite0Features, "kernel", "kernel_efficientnet_lite0"),
        (EfficientNetLite0Features, "recall", "recall_efficientnet_lite0"),
    ],
)
def test_a_metric_is_named_by_its_features(kind: type[FeatureExtractor], metric, name: str) -> None:
    extractor = kind.__new__(kind)  # the name needs no weights
    assert extractor.metric_name(metric) == name
