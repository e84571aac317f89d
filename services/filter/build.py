"""A collection to a dataset: score, judge, cut, pack; the manifest last.

Killed at any point and run again, it comes to the same dataset: scores are kept as they come, the
zips are byte-identical for the same images and settings, and the dataset exists from the moment
its manifest does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.filter.checks import CHECKS, FORMAT
from services.filter.crop import RESIZE_FILTER
from services.filter.decode import FORMATS, MAX_PIXELS
from services.filter.forget import drop_forgotten
from services.filter.judge import judge_collection
from services.filter.labels import LABEL, Classes, classes_of, label_result
from services.filter.packing import count_classes, count_squares, write_zips
from services.filter.photos import load_collection, load_items, sources_of
from services.filter.processes import Processes
from services.filter.request import BuildRequest
from services.filter.scoring import score_images
from services.filter.verdicts import encode_verdicts
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.dataset import Dataset, Verdict
from tagloom.errors import AlreadyExists, FailedPrecondition, NotFound
from tagloom.progress import Report
from tagloom.store.interface import Store

__all__ = ["Built", "build_dataset", "existing_dataset"]

_SETTINGS = (
    "its collection",
    "the photos of its collection",
    "the resolution",
    "the crop",
    "the thresholds",
    "the share held out",
    "the seed",
    "the labels",
)
"""in which two datasets of one name may differ"""
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
    collection = load_collection(store, request.collection)
    asked = (
        f"collections/{request.collection}",
        collection.content_sha256,
        request.resolution,
        request.crop,
        request.thresholds,
        request.held_out_ratio,
        request.seed,
        request.labels,
    )
    there = (
        dataset.collection,
        dataset.collection_sha256,
        dataset.resolution,
        dataset.crop,
        dataset.thresholds,
        dataset.held_out_ratio,
        dataset.seed,
        dataset.labels,
    )
    differ = [
        what for what, one, other in zip(_SETTINGS, asked, there, strict=True) if one != other
    ]
    if differ:
        raise AlreadyExists(
            f"{name} exists already and differs in {' and '.join(differ)}; choose another id, or "
            f"remove it first (`tagloom rm {name}`).",
            reason="RESOURCE_EXISTS",
            resource=name,
        )
    return dataset


def build_dataset(store: Store, request: BuildRequest, report: Report) -> Built:
    """Makes the dataset; the one that is there already when it is the same.

    Raises InvalidArgument, NotFound (RESOURCE_NOT_FOUND), AlreadyExists (RESOURCE_EXISTS),
    FailedPrecondition (COLLECTION_EMPTY, NO_IMAGES_LEFT, NO_CLASSES, CLASS_UNKNOWN, CLASS_EMPTY),
    DataLoss, ResourceExhausted (DISK_FULL), and Cancelled from `report`.
    """
    request = request.checked()
    if (dataset := existing_dataset(store, request)) is not None:
        return Built(dataset, made=False)
    collection = load_collection(store, request.collection)
    items = load_items(store, collection)
    sources = sources_of(items)
    labels = request.labels
    classes = classes_of(collection, items, labels) if labels else None
    known = classes.by_sha256 if classes else {}
    demands = {sha: label_result(known.get(sha, ""), labels) for sha in sources} if labels else {}
    enabled = [threshold.check for threshold in request.thresholds if threshold.enabled]
    with Processes(store.url, len(sources)) as processes:
        scores = score_images(store, processes, list(sources), enabled, report)
        report("judge", 0, len(sources))
        verdicts = [
            verdict.model_copy(
                update={
                    "label": known.get(verdict.sha256, ""),
                    "tiles": count_squares(verdict, request) if verdict.kept else 0,
                }
            )
            for verdict in judge_collection(
                sources, scores.measured, request.thresholds, request.resolution, demands
            )
        ]
        rejected = Counter(check for verdict in verdicts for check in verdict.failed_checks)
        kept = [verdict for verdict in verdicts if verdict.kept]
        if not kept:
            raise _none_left(verdicts, rejected)
        report("judge", len(sources), len(sources), f"{len(kept)} of {len(sources)} images stay")
        names = _classes_left(classes, kept, request)
        packed = write_zips(store, processes, request, kept, names, report)
    squares = packed.squares
    verdicts = [v.model_copy(update={"squares": squares.get(v.sha256, ())}) for v in verdicts]
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
        labels=request.labels,
        classes=count_classes(kept, names, packed),
    )
    dataset.create(store, layout.dataset_manifest(request.dataset), f"datasets/{request.dataset}")
    dataset = drop_forgotten(store, dataset)
    report("write", 1, 1, f"{dataset.train} squares to train on, {dataset.held_out} held out")
    return Built(dataset, True, rejected, scores.scanned, scores.seconds)


def _classes_left(
    classes: Classes | None, kept: Sequence[Verdict], request: BuildRequest
) -> tuple[str, ...]:
    """The classes that have a photo left. One that was asked for by name must have some."""
    if classes is None or request.labels is None:
        return ()
    left = {verdict.label for verdict in kept}
    empty = [name for name in classes.names if name not in left]
    if empty and (request.labels.classes or len(classes.names) - len(empty) < 2):
        raise FailedPrecondition(
            f"No photo of the class {empty[0]!r} stays; collect more of it, loosen the checks that "
            "reject its photos, or leave the class out.",
            reason="CLASS_EMPTY",
            label=empty[0],
        )
    return tuple(name for name in classes.names if name in left)


def _none_left(verdicts: Sequence[Verdict], rejected: Counter[str]) -> FailedPrecondition:
    counts = {check: rejected[check] for check in (*CHECKS, LABEL) if rejected[check]}
    loosened = [check for check in counts if check not in (FORMAT, LABEL)]
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
            "loosen or switch off "
            f"{' and '.join(filter(None, (', '.join(loosened[:-1]), loosened[-1])))}"
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
