"""Step: photos into a collection."""

from typing import Any

from kfp import dsl

from pipelines.components.image import IMAGE

__all__ = ["collect_photos"]


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def collect_photos(
    experiment: dict[str, Any],
    salt: str,
    inputs: str,
    counts: dsl.Output[dsl.Metrics],
) -> str:
    """Returns the collection's name, `collections/{id}`."""
    from pipelines.steps.collect import collect_photos as run

    collection = run(experiment, salt, inputs)
    counts.log_metric("items", collection.item_count)
    counts.log_metric("stored", collection.stored_count)
    counts.log_metric("duplicates", collection.duplicate_count)
    counts.log_metric("skipped", collection.skipped_count)
    counts.log_metric("refused", collection.refused_count)
    return collection.name
