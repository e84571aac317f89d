"""Two folders, compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.evaluator.compare import compare_folders
from services.evaluator.requests import ComparisonRequest
from tagloom.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from tagloom.store import Store


def folder(path: Path, tiles: list[np.ndarray]) -> str:
    path.mkdir()
    for index, tile in enumerate(tiles):
        Image.fromarray(tile).save(path / f"{index:03d}.png")
    return str(path)


def test_photos_are_nearer_to_photos_than_noise_is(make, store: Store, tmp_path: Path) -> None:
    real = folder(tmp_path / "real", make.tiles(16, seed=0))
    more = folder(tmp_path / "more", make.tiles(12, seed=1))
    random = np.random.default_rng(0)
    noise = folder(
        tmp_path / "noise", [random.integers(0, 256, (32, 32, 3), np.uint8) for _ in range(12)]
    )
    everything = ("frechet", "kernel", "precision", "recall")
    near, far = (
        compare_folders(
            store, ComparisonRequest(real, path, everything, features="efficientnet_lite0")
        )
        for path in (more, noise)
    )
    assert (near.real, near.generated) == (16, 12)
    for a, b in zip(near.scores[:2], far.scores[:2], strict=True):
        assert a.metric == b.metric
        assert a.value < b.value
    assert near.scores[1].high < far.scores[1].low
    assert near.scores[2].value > far.scores[2].value == 0
    assert len(list(store.iterate("statistics/"))) == 1  # the real folder's, used twice


def test_a_single_image_is_too_few(make, store: Store, tmp_path: Path) -> None:
    real = folder(tmp_path / "real", make.tiles(5, seed=0))
    one = folder(tmp_path / "one", make.tiles(1, seed=0))
    with pytest.raises(FailedPrecondition) as caught:
        compare_folders(store, ComparisonRequest(real, one, features="efficientnet_lite0"))
    assert caught.value.reason == "TOO_FEW_IMAGES"


def test_folders_are_checked_first(make, store: Store, tmp_path: Path) -> None:
    real = folder(tmp_path / "real", make.tiles(5, seed=0))
    with pytest.raises(NotFound, match="absent"):
        compare_folders(store, ComparisonRequest(real, str(tmp_path / "absent")))
    with pytest.raises(InvalidArgument, match="absolute"):
        compare_folders(store, ComparisonRequest("real", real))
    with pytest.raises(PermissionDenied) as caught:
        compare_folders(store, ComparisonRequest(real, real, folder_roots=(tmp_path / "other",)))
    assert caught.value.reason == "FOLDER_NOT_ALLOWED"
    assert not list(store.iterate("statistics/"))
