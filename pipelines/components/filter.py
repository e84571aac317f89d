"""Step: a collection judged, cropped and split into a dataset."""

from typing import Any

from kfp import dsl

from pipelines.components.image import IMAGE

__all__ = ["filter_photos"]


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def filter_photos(
    experiment: str,
    collection: str,
    filter: dict[str, Any],
    salt: str,
    counts: dsl.Output[dsl.Metrics],
    scored: list[int] = [],  # noqa: B006  (Kubeflow knows no None of a list)
) -> str:
    """Returns the dataset's name, `datasets/{id}`; `scored`: what has to be over before."""
    from pipelines.steps.filter import filter_photos as run

    dataset = run(experiment, collection, filter, salt)
    counts.log_metric("judged", dataset.judged_count)
    counts.log_metric("kept", dataset.kept_count)
    counts.log_metric("rejected", dataset.rejected_count)
    counts.log_metric("train_squares", dataset.train_count)
    counts.log_metric("held_out_squares", dataset.held_out_count)
    return dataset.name
