"""Parts of a collection: disjoint, complete, and found by the dataset that follows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import filter_pieces
import pytest

from services.filter.build import build_dataset
from services.filter.photos import load_collection, load_items, sources_of
from services.filter.profile import profile
from services.filter.scores import load_scores
from services.filter.shards import ShardRequest, score_shard
from tagloom.artifacts.dataset import Threshold
from tagloom.errors import InvalidArgument, NotFound
from tagloom.progress import silent

OFF = tuple(
    Threshold(check=name, enabled=False, value=0) for name in ("text", "text_lines", "faces")
)


def test_all_shards_are_the_collection_and_the_filter_scans_nothing(
    store, add_collection, small_photos
):
    add_collection(store, "photos", small_photos)
    with ThreadPoolExecutor(2) as pool:  # as two replicas do
        requests = [ShardRequest("photos", shard, 4) for shard in range(4)]
        parts = list(pool.map(lambda request: score_shard(store, request, silent), requests))
    assert sum(part.images for part in parts) == sum(part.scanned for part in parts) == 6
    assert max(part.images for part in parts) == 2
    assert score_shard(store, requests[0], silent).scanned == 0
    made = build_dataset(store, replace(filter_pieces.REQUEST, dataset="squares"), silent)
    assert made.scanned == 0
    assert made.dataset.kept == 2


def test_only_what_is_on_is_asked(store, add_collection, small_photos):
    add_collection(store, "photos", small_photos)
    score_shard(store, ShardRequest("photos", 0, 1, thresholds=OFF), silent)
    hashes = sources_of(load_items(store, load_collection(store, "photos")))
    names = {check for found in load_scores(store, hashes, CHECKS).values() for check in found}
    assert "sharpness" in names
    assert not names & {"text", "faces"}


CHECKS = [threshold.check for threshold in profile(()) if threshold.enabled]


@pytest.mark.parametrize(
    ("shard", "count", "reason"),
    [
        (0, 0, "SHARD_COUNT_OUT_OF_RANGE"),
        (0, 257, "SHARD_COUNT_OUT_OF_RANGE"),
        (4, 4, "SHARD_OUT_OF_RANGE"),
        (-1, 4, "SHARD_OUT_OF_RANGE"),
    ],
)
def test_shards_that_cannot_be(shard, count, reason):
    with pytest.raises(InvalidArgument) as caught:
        ShardRequest("photos", shard, count).checked()
    assert caught.value.reason == reason


def test_no_collection(store):
    with pytest.raises(NotFound):
        score_shard(store, ShardRequest("photos", 0, 1), silent)
