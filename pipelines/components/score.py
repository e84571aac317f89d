"""Step: a part of a collection, scored ahead of the filter."""

from typing import Any

from kfp import dsl

from pipelines.components.image import IMAGE

__all__ = ["score_photos"]


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def score_photos(collection: str, filter: dict[str, Any], shard: str) -> int:
    """Returns how many photos the shard has."""
    from pipelines.steps.score import score_photos as run

    return run(collection, filter, shard)
