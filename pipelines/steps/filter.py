"""A collection judged, cropped and split into a dataset."""

from __future__ import annotations

from typing import Any

from google.longrunning import operations_pb2

from pipelines.identity import resource_id
from pipelines.report.words import count
from pipelines.spec import FilterSpec
from pipelines.steps.session import step
from tagloom.v1 import filter_pb2, scraper_pb2

__all__ = ["bounds_of", "filter_photos", "filter_request"]


def filter_photos(
    experiment: str, collection: str, filter: dict[str, Any], salt: str
) -> filter_pb2.Dataset:
    """Returns the dataset, complete."""
    spec = FilterSpec.model_validate(filter)
    with step("filter") as current:
        client = current.clients.filter
        photos = current.clients.scraper.GetCollection(
            scraper_pb2.GetCollectionRequest(name=collection)
        )
        request = filter_request(experiment, photos, spec, salt)
        name = f"datasets/{request.dataset_id}"

        def create(request_id: str) -> operations_pb2.Operation:
            request.request_id = request_id
            return client.CreateDataset(request)

        dataset = current.make(
            "CreateDataset",
            name,
            lambda: client.GetDataset(filter_pb2.GetDatasetRequest(name=name)),
            create,
            filter_pb2.Dataset,
        )
        current.sentence = (
            f"{dataset.kept_count:,} of {count(dataset.judged_count, 'photo')} kept, "
            f"{count(dataset.train_count, 'square')} to train on, "
            f"{dataset.held_out_count:,} held out"
        )
    return dataset


def filter_request(
    experiment: str, collection: scraper_pb2.Collection, spec: FilterSpec, salt: str
) -> filter_pb2.CreateDatasetRequest:
    """The call, without its request id.

    The dataset's id follows from the photos' bytes: a folder that was copied or touched makes a new
    collection, but not a new dataset, so nothing is trained twice.
    """
    # What came later is left out where it is not used: older datasets keep their ids.
    unused = {name for name in ("overlap", "labels", "classes") if not getattr(spec, name)}
    inputs = {
        "photos": collection.content_sha256,
        "filter": spec.model_dump(mode="json", exclude=unused),
        "salt": salt,
    }
    request = filter_pb2.CreateDatasetRequest(
        dataset_id=resource_id(experiment, inputs),
        collection=collection.name,
        resolution=spec.resolution,
        crop=filter_pb2.Crop(
            mode=f"MODE_{spec.crop.upper()}",
            tile_size=spec.tile_size,
            overlap=spec.overlap,
            output_size=spec.output_size,
        ),
        held_out_ratio=spec.held_out,
        seed=spec.seed,
        profile=spec.profile,
    )
    if spec.labels:
        request.labels.MergeFrom(
            filter_pb2.LabelSource(kind=f"KIND_{spec.labels.upper()}", classes=spec.classes)
        )
    request.thresholds.extend(bounds_of(spec))
    return request


def bounds_of(spec: FilterSpec) -> list[filter_pb2.Threshold]:
    """The thresholds that differ from the profile."""
    return [
        filter_pb2.Threshold(
            check=check, enabled=bound is not False, value=0.0 if bound is False else bound
        )
        for check, bound in spec.thresholds.items()
    ]
