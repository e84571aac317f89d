"""Real images are measured once per content and extractor."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from services.evaluator.images import ImageSet
from services.evaluator.statistics import extract, real_statistics
from tagloom.errors import Cancelled
from tagloom.features import FeatureExtractor, load_extractor
from tagloom.progress import silent
from tagloom.store import Store


class Tiles(ImageSet):
    """Real photo tiles that count how often they are read."""

    def __init__(self, tiles: list[np.ndarray], sha256: str) -> None:
        self.description, self._tiles, self._sha256, self.reads = "tiles", tiles, sha256, 0

    @property
    def content_sha256(self) -> str:
        return self._sha256

    def __len__(self) -> int:
        return len(self._tiles)

    def __iter__(self) -> Iterator[torch.Tensor]:
        self.reads += 1
        for tile in self._tiles:
            yield torch.from_numpy(tile.copy()).permute(2, 0, 1)


@pytest.fixture(scope="module")
def lite0() -> FeatureExtractor:
    return load_extractor("efficientnet_lite0")


def test_the_second_time_no_image_is_read(make, store: Store, lite0: FeatureExtractor) -> None:
    images = Tiles(make.tiles(9, seed=0), "a" * 64)
    first = real_statistics(store, images, lite0, silent)
    key = f"statistics/{'a' * 64}-{lite0.identifier}.safetensors"
    etag = store.head(key).etag
    assert images.reads == 1
    second = real_statistics(store, images, lite0, silent)
    assert images.reads == 1
    assert store.head(key).etag == etag
    np.testing.assert_array_equal(second.features, first.features)
    np.testing.assert_array_equal(second.mean, first.mean)
    assert first.scatter is None
    assert second.scatter is None  # 9 images, 1280 dimensions
    other = Tiles(make.tiles(9, seed=0), "b" * 64)
    real_statistics(store, other, lite0, silent)
    assert other.reads == 1


@pytest.mark.parametrize("damage", ["cut", "text", "other count"])
def test_a_damaged_entry_is_computed_again(
    make, store: Store, lite0: FeatureExtractor, damage: str
) -> None:
    images = Tiles(make.tiles(4, seed=0), "a" * 64)
    first = real_statistics(store, images, lite0, silent)
    (key,) = [info.key for info in store.iterate("statistics/")]
    good = store.get(key)
    if damage == "other count":
        more = Tiles(make.tiles(5, seed=0), "c" * 64)
        real_statistics(store, more, lite0, silent)
        bad = store.get(key.replace("a" * 64, "c" * 64))
    else:
        bad = good[:-10] if damage == "cut" else b"not safetensors"
    store.put(key, bad)
    again = real_statistics(store, images, lite0, silent)
    assert images.reads == 2
    np.testing.assert_array_equal(again.features, first.features)
    assert store.get(key) == good


def test_many_images_keep_their_scatter(store: Store) -> None:
    """With n >= D the covariance is worth keeping, and survives the store."""

    class Colours(FeatureExtractor):
        """Mean colour and two more: a small honest extractor, so that n >= D is cheap."""

        name, version, dim, input_size, micro_batch = "colours", "1", 3, 1, 4

        def _features(self, images_uint8_NCHW: torch.Tensor) -> torch.Tensor:
            return images_uint8_NCHW.float().mean(dim=(2, 3))

    random = np.random.default_rng(0)
    tiles = [random.integers(0, 256, (4, 4, 3), dtype=np.uint8) for _ in range(150)]
    images = Tiles(tiles, "d" * 64)
    extractor = Colours("0" * 64, torch.device("cpu"))
    first = real_statistics(store, images, extractor, silent)
    second = real_statistics(store, images, extractor, silent)
    assert images.reads == 1
    expected = np.cov(np.stack(tiles).mean(axis=(1, 2)), rowvar=False)
    np.testing.assert_allclose(second.covariance(1), expected, rtol=1e-6)
    np.testing.assert_array_equal(second.covariance(0), first.covariance(0))


def test_progress_is_told_and_a_cancel_heard(make, lite0: FeatureExtractor) -> None:
    told: list[tuple[str, int, int]] = []

    def report(phase: str, done: int, total: int, message: str = "") -> None:
        told.append((phase, done, total))
        if done:
            raise Cancelled("Stop.", reason="CANCELLED")

    with pytest.raises(Cancelled):
        extract(Tiles(make.tiles(3, seed=0), "e" * 64), lite0, report, phase="real features")
    assert told == [("real features", 0, 3), ("real features", 3, 3)]
