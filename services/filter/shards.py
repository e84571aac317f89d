"""A part of a collection, scored ahead: several replicas share the work, the store the scores."""

from __future__ import annotations

from dataclasses import dataclass

from services.filter.photos import load_collection, load_items, sources_of
from services.filter.processes import Processes
from services.filter.profile import DEFAULT, profile
from services.filter.scoring import score_images
from tagloom.artifacts import layout
from tagloom.artifacts.dataset import Threshold
from tagloom.errors import InvalidArgument
from tagloom.progress import Report
from tagloom.store.interface import Store

__all__ = ["MOST_SHARDS", "Scored", "ShardRequest", "score_shard"]

MOST_SHARDS = 256


@dataclass(frozen=True, slots=True)
class ShardRequest:
    """Which images, and by which checks."""

    collection: str
    """id"""
    shard: int
    shard_count: int
    profile: str = DEFAULT
    thresholds: tuple[Threshold, ...] = ()
    """where they differ from the profile: what is off is not asked"""

    def checked(self) -> ShardRequest:
        """With every threshold filled in. Raises InvalidArgument naming the field."""
        layout.check_id(self.collection, "collection")
        if not 1 <= self.shard_count <= MOST_SHARDS:
            raise InvalidArgument(
                f"A collection cannot be cut into {self.shard_count} shards; choose 1 to "
                f"{MOST_SHARDS}.",
                reason="SHARD_COUNT_OUT_OF_RANGE",
                field="shard_count",
            )
        if not 0 <= self.shard < self.shard_count:
            raise InvalidArgument(
                f"There is no shard {self.shard} of {self.shard_count}; they are counted from 0.",
                reason="SHARD_OUT_OF_RANGE",
                field="shard",
            )
        thresholds = profile(self.thresholds, self.profile)
        return ShardRequest(
            self.collection, self.shard, self.shard_count, self.profile or DEFAULT, thresholds
        )


@dataclass(frozen=True, slots=True)
class Scored:
    """What a shard was."""

    images: int
    scanned: int
    """those whose scores were not known yet"""


def score_shard(store: Store, request: ShardRequest, report: Report) -> Scored:
    """Makes the scores of a shard's images durable; those that are known are not asked again.

    A shard is a range of the sorted hashes, as the tables of scores are: shards hardly ever write
    to the same one. Raises what `score_images` does, NotFound, DataLoss and FailedPrecondition
    (COLLECTION_EMPTY) for the collection, and Cancelled from `report`.
    """
    request = request.checked()
    collection = load_collection(store, request.collection)
    hashes = sorted(sources_of(load_items(store, collection)))
    first, last = (
        len(hashes) * place // request.shard_count for place in (request.shard, request.shard + 1)
    )
    mine = hashes[first:last]
    checks = [threshold.check for threshold in request.thresholds if threshold.enabled]
    with Processes(store.url, len(mine)) as processes:
        scores = score_images(store, processes, mine, checks, report)
    return Scored(len(mine), scores.scanned)
