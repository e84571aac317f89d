"""A part of a collection, scored: a loop shares the work among the filter's replicas."""

from __future__ import annotations

from typing import Any

from google.longrunning import operations_pb2

from pipelines.identity import request_id
from pipelines.report.words import count
from pipelines.spec import FilterSpec
from pipelines.steps.filter import bounds_of
from pipelines.steps.session import step
from tagloom.v1 import filter_pb2

__all__ = ["score_photos"]


def score_photos(collection: str, filter: dict[str, Any], shard: str) -> int:
    """Scores shard `2/4` (the third of four); returns how many images it has."""
    spec = FilterSpec.model_validate(filter)
    index, _, shards = shard.partition("/")
    with step("score", shard) as current:
        client = current.clients.filter

        def create(identity: str) -> operations_pb2.Operation:
            return client.ScoreImages(
                filter_pb2.ScoreImagesRequest(
                    collection=collection,
                    profile=spec.profile,
                    thresholds=bounds_of(spec),
                    shard=int(index),
                    shard_count=int(shards),
                    request_id=identity,
                )
            )

        # Nothing is made that could be read instead; what is known already is not scored again.
        name = f"{collection} {filter!r}"
        operation = create(request_id("ScoreImages", f"{name} {shard}", 0))
        if operation.done and operation.HasField("error"):
            operation = create("")
        scored = current.wait(operation, filter_pb2.ScoreImagesResponse)
        current.sentence = (
            f"{scored.scanned_count:,} of {count(scored.image_count, 'photo')} looked at"
        )
    return scored.image_count
