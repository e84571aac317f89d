"""A collection to a dataset: score, judge, cut, pack; the manifest last.

Killed at any point and run again, it comes to the same dataset: scores are kept as they come, the
zips are byte-identical for the same images and settings, and the dataset exists from the moment
its manifest does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from services.filter.checks import CHECKS, FORMAT
from services.filter.crop import RESIZE_FILTER
from services.filter.decode import FORMATS, MAX_PIXELS
from services.filter.judge import judge_collection
from services.filter.packing import squares_of, write_zips
from services.filter.processes import Processes
from services.filter.request import BuildRequest
from services.filter.scoring import score_images
from services.filter.verdicts import encode_verdicts
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.collection import Collection, Item, content_hash
from tagloom.artifacts.dataset import Dataset, Verdict
from tagloom.errors import AlreadyExists, DataLoss, FailedPrecondition, NotFound
from tagloom.progress import Report
from tagloom.store.interface import ObjectNotFound, Store

__all__ = ["Built", "build_dataset", "existing_dataset"]

_TOLD = 3
"""reasons that one sentence carries"""


@dataclass(frozen=True, slots=True)
class Built:
    """A dataset, and what making it took."""

    dataset: Dataset
    made: bool = True
    """False: it was there already"""
    rejected: Counter[str] = field(default_factory=Counter)
    """images that failed, by check; one may fail several"""
    scanned: int = 0
    """images whose scores were not known yet"""
    seconds: Counter[str] = field(default_factory=Counter)
    """processor time by check, and of `decode`"""


def existing_dataset(store: Store, request: BuildRequest) -> Dataset | None:
    """The dataset of this id, when it is what `request` (checked) asks for; None without one.

    AlreadyExists (RESOURCE_EXISTS) when it was made from something else.
    """
    name = f"datasets/{request.dataset}"
    try:
        dataset = Dataset.load(store, layout.dataset_manifest(request.dataset), name)
    except NotFound:
        return None
    collection = _load_collection(store, request.collection)
    asked = (
        f"collections/{request.collection}",
        collection.content_sha256,
        request.resolution,
        request.crop,
        request.thresholds,
        request.held_out_ratio,
        request.seed,
    )
    there = (
        dataset.collection,
        dataset.collection_sha256,
        dataset.resolution,
        dataset.crop,
        dataset.thresholds,
        dataset.held_out_ratio,
        dataset.seed,
    )
    if asked != there:
        raise AlreadyExists(
            f"{name} exists already, made from other photos or with other settings; choose "
            "another id or remove it first.",
            reason="RESOURCE_EXISTS",
            resource=name,
        )
    return dataset


def build_dataset(store: Store, request: BuildRequest, report: Report) -> Built:
    """Makes the dataset; the one that is there already when it is the same.

    Raises InvalidArgument, NotFound (RESOURCE_NOT_FOUND), AlreadyExists (RESOURCE_EXISTS),
    FailedPrecondition (COLLECTION_EMPTY, NO_IMAGES_LEFT), DataLoss, ResourceExhausted (DISK_FULL),
    and Cancelled from `report`.
    """
    request = request.checked()
    if (dataset := existing_dataset(store, request)) is not None:
        return Built(dataset, made=False)
    collection = _load_collection(store, request.collection)
    sources = _sources(store, request.collection, collection)
    enabled = [threshold.check for threshold in request.thresholds if threshold.enabled]
    with Processes(store.url, len(sources)) as processes:
        scores = score_images(store, processes, list(sources), enabled, report)
        report("judge", 0, len(sources))
        verdicts = [
            _counted(verdict, request)
            for verdict in judge_collection(
                sources, scores.measured, request.thresholds, request.resolution
            )
        ]
        rejected = Counter(check for verdict in verdicts for check in verdict.failed_checks)
        kept = [verdict for verdict in verdicts if verdict.kept]
        if not kept:
            raise _none_left(verdicts, rejected)
        report("judge", len(sources), len(sources), f"{len(kept)} of {len(sources)} images stay")
        packed = write_zips(store, processes, request, kept, report)
    store.put(layout.dataset_verdicts(request.dataset), encode_verdicts(verdicts))
    dataset = Dataset(
        id=request.dataset,
        create_time=now(),
        collection=f"collections/{request.collection}",
        collection_sha256=collection.content_sha256,
        resolution=request.resolution,
        crop=request.crop,
        resize_filter=RESIZE_FILTER,
        profile=request.profile,
        thresholds=request.thresholds,
        check_versions={name: CHECKS[name].stored_version for name in enabled},
        judged=len(verdicts),
        kept=len(kept),
        rejected=len(verdicts) - len(kept),
        train=packed.train,
        held_out=packed.held_out,
        held_out_ratio=request.held_out_ratio,
        seed=request.seed,
        content_sha256=packed.content_sha256,
        held_out_sha256=packed.held_out_sha256,
    )
    dataset.create(store, layout.dataset_manifest(request.dataset), f"datasets/{request.dataset}")
    report("write", 1, 1, f"{packed.train} squares to train on, {packed.held_out} held out")
    return Built(dataset, True, rejected, scores.scanned, scores.seconds)


def _load_collection(store: Store, collection_id: str) -> Collection:
    key = layout.collection_manifest(collection_id)
    return Collection.load(store, key, f"collections/{collection_id}")


def _sources(store: Store, collection_id: str, collection: Collection) -> dict[str, str]:
    """Hash to source of every stored image, each once, in the order of the collection."""
    key = layout.collection_items(collection_id)
    sources: dict[str, str] = {}
    try:
        for line in store.get(key).splitlines():
            item = Item.model_validate_json(line)
            if item.state == "stored":
                sources.setdefault(item.sha256, item.source)
        damaged = content_hash(sources) != collection.content_sha256
    except (ObjectNotFound, ValidationError):
        damaged = True
    if damaged:
        raise DataLoss(
            f"{key} does not hold the images that its manifest promises; collect the photos again.",
            reason="COLLECTION_DAMAGED",
            key=key,
        )
    if not sources:
        raise FailedPrecondition(
            f"collections/{collection_id} holds no images; collect some photos first.",
            reason="COLLECTION_EMPTY",
            resource=f"collections/{collection_id}",
        )
    return sources


def _counted(verdict: Verdict, request: BuildRequest) -> Verdict:
    """With the number of its squares."""
    tiles = len(squares_of(verdict, request)) if verdict.kept else 0
    return verdict.model_copy(update={"tiles": tiles})


def _none_left(verdicts: Sequence[Verdict], rejected: Counter[str]) -> FailedPrecondition:
    counts = {check: rejected[check] for check in CHECKS if rejected[check]}
    loosened = [check for check in counts if check != FORMAT]
    undecodable = _undecodable(verdicts)
    if not loosened:
        sentence = (
            f"None of the {len(verdicts)} images can be decoded ({undecodable}); collect other "
            f"photos: whole {', '.join(FORMATS)} files of at most {MAX_PIXELS // 10**6} million "
            "pixels."
        )
    else:
        reasons = ", ".join(f"{count} failed {check}" for check, count in counts.items())
        sentence = (
            f"None of the {len(verdicts)} images passed ({reasons}); collect other photos, or "
            f"loosen or switch off {' and '.join(loosened)}"
        )
        if undecodable:  # no profile can switch that check off
            sentence += f"; what cannot be decoded stays out ({undecodable})"
        sentence += "."
    return FailedPrecondition(
        sentence,
        reason="NO_IMAGES_LEFT",
        judged=len(verdicts),
        **{f"failed_{check}": count for check, count in counts.items()},
    )


def _undecodable(verdicts: Sequence[Verdict]) -> str:
    """What is wrong with the files that failed the check of the format, one example a reason."""
    examples: dict[str, list[str]] = {}
    for verdict in verdicts:
        for result in verdict.results:
            if result.check == FORMAT and not result.passed:
                examples.setdefault(result.detail.rstrip("."), []).append(verdict.source)
    told = []
    for detail, sources in sorted(examples.items(), key=lambda entry: -len(entry[1])):
        more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
        told.append(f"{sources[0]}{more}: {detail}")
    if len(told) > _TOLD:
        told[_TOLD:] = [f"and {len(told) - _TOLD} other reasons"]
    return "; ".join(told)
