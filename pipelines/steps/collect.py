"""Photos into a collection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.longrunning import operations_pb2

from pipelines.identity import file_fingerprint, folder_fingerprint, resource_id
from pipelines.report.words import count
from pipelines.spec import CollectSpec, Experiment
from pipelines.steps.ledger import open_ledger
from pipelines.steps.session import step
from tagloom.v1 import scraper_pb2

__all__ = ["collect_photos", "collect_request"]


def collect_photos(experiment: dict[str, Any], salt: str, inputs: str) -> scraper_pb2.Collection:
    """Returns the collection, complete. As the first step it says that the experiment is begun."""
    spec = Experiment.model_validate(experiment)
    request = collect_request(spec.experiment, spec.collect, salt)
    name = f"collections/{request.collection_id}"
    with step("collect") as current:
        ledger = open_ledger(spec, inputs, salt)
        if ledger is not None:
            ledger.begin()
        scraper = current.clients.scraper

        def create(request_id: str) -> operations_pb2.Operation:
            request.request_id = request_id
            return scraper.CreateCollection(request)

        collection = current.make(
            "CreateCollection",
            name,
            lambda: scraper.GetCollection(scraper_pb2.GetCollectionRequest(name=name)),
            create,
            scraper_pb2.Collection,
        )
        current.sentence = (
            f"{count(collection.stored_count, 'photo')} of {count(collection.item_count, 'file')}"
        )
    return collection


def collect_request(
    experiment: str, collect: CollectSpec, salt: str
) -> scraper_pb2.CreateCollectionRequest:
    """The call, without its request id. A folder's listing, or what is known of a file, is part
    of the collection's id."""
    # What an older Tagloom did not know must not change the ids of its experiments.
    given = collect.model_dump(mode="json", exclude_defaults=True)
    known = {"folder": None, "hashtag": None, "profile": None, "posts": collect.posts}
    inputs: dict[str, Any] = {"collect": {**known, **given}, "salt": salt}
    if collect.local is not None:
        kind, place = collect.local
        fingerprint = folder_fingerprint if kind == "folder" else file_fingerprint
        inputs["listing"] = fingerprint(Path(place))
    request = scraper_pb2.CreateCollectionRequest(
        collection_id=resource_id(experiment, inputs), frames_per_video=collect.frames
    )
    if collect.folder is not None:
        request.folder.path = collect.folder
    elif collect.zip is not None:
        request.zip.path = collect.zip
    elif collect.urls is not None:
        request.urls.path = collect.urls
    elif collect.s3 is not None:
        request.s3.url = collect.s3
    elif collect.hashtag is not None:
        request.hashtag.hashtag, *more = _several(collect.hashtag)
        request.hashtag.more_hashtags.extend(more)
        _take(request.hashtag, collect)
    elif collect.profile is not None:
        request.profile.profile, *more = _several(collect.profile)
        request.profile.more_profiles.extend(more)
        _take(request.profile, collect)
    return request


def _several(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def _take(
    source: scraper_pb2.HashtagSource | scraper_pb2.ProfileSource, collect: CollectSpec
) -> None:
    """What of each post."""
    source.max_posts = collect.posts
    source.options.first_picture_only = collect.first_picture
    source.options.likes, source.options.comments = collect.likes, collect.comments
