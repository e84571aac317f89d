"""A collection to a dataset: score, judge, cut, pack; the manifest last.

Killed at any point and run again, it comes to the same dataset: scores are kept as they come, the
zips are byte-identical for the same images and settings, and the dataset exists from the moment
its manifest does.
"""

from __future__ import annotations

import errno
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from services.filter.archive import DatasetZip, encode_png
from services.filter.checks import CHECKS
from services.filter.crop import RESIZE_FILTER, Square, SquareId, cut, held_out, squares
from services.filter.decode import Undecodable, decode
from services.filter.judge import judge
from services.filter.processes import Died, spread, worker_store
from services.filter.profile import profile
from services.filter.scoring import read_image, score_images
from services.filter.verdicts import encode_verdicts
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.collection import Collection, Item, content_hash
from tagloom.artifacts.dataset import Crop, Dataset, Threshold, Verdict
from tagloom.errors import (
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from tagloom.progress import Report
from tagloom.store.interface import Store

__all__ = ["BuildRequest", "Built", "build_dataset", "existing_dataset"]

_SIDES = (4, 4096)
_MAX_HELD_OUT = 0.5


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What a dataset is to be. `checked` gives it with every default filled in."""

    dataset: str
    """id of the new dataset"""
    collection: str
    """id of the collection to judge"""
    resolution: int
    """px to judge for"""
    crop: Crop = field(default_factory=Crop)
    thresholds: tuple[Threshold, ...] = ()
    """where they differ from the default profile"""
    held_out_ratio: float = 0.0
    """0 to 0.5"""
    seed: int = 0

    def checked(self) -> BuildRequest:
        """With defaults in place. Raises InvalidArgument naming the field."""
        layout.check_id(self.dataset, "dataset_id")
        layout.check_id(self.collection, "collection")
        low, high = _SIDES
        if not low <= self.resolution <= high:
            raise InvalidArgument(
                f"A resolution of {self.resolution} px cannot be judged for; choose {low} to "
                f"{high} px.",
                reason="RESOLUTION_OUT_OF_RANGE",
                field="resolution",
            )
        output_size = self.crop.output_size or self.resolution
        if not low <= output_size <= high or output_size & (output_size - 1):
            raise InvalidArgument(
                f"Images of {output_size} px cannot be written; choose a power of two from {low} "
                f"to {high} as the output size.",
                reason="OUTPUT_SIZE_INVALID",
                field="crop.output_size",
            )
        tile_size = 0
        if self.crop.mode == "tiles":
            tile_size = self.crop.tile_size or self.resolution
            if tile_size < output_size:
                raise InvalidArgument(
                    f"Tiles of {tile_size} px would have to be enlarged to {output_size} px; "
                    "choose a tile size of at least the output size.",
                    reason="TILE_SIZE_INVALID",
                    field="crop.tile_size",
                )
        elif self.crop.tile_size:
            raise InvalidArgument(
                "A tile size only makes sense with the crop mode tiles; leave it out, or choose "
                "tiles.",
                reason="TILE_SIZE_INVALID",
                field="crop.tile_size",
            )
        if not 0 <= self.held_out_ratio <= _MAX_HELD_OUT:  # refuses NaN as well
            raise InvalidArgument(
                f"A held-out ratio of {self.held_out_ratio} is out of range; choose 0 to "
                f"{_MAX_HELD_OUT}.",
                reason="HELD_OUT_RATIO_OUT_OF_RANGE",
                field="held_out_ratio",
            )
        return BuildRequest(
            dataset=self.dataset,
            collection=self.collection,
            resolution=self.resolution,
            crop=Crop(mode=self.crop.mode, tile_size=tile_size, output_size=output_size),
            thresholds=profile(self.thresholds),
            held_out_ratio=self.held_out_ratio,
            seed=self.seed,
        )


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
    scores = score_images(store, list(sources), enabled, report)
    report("judge", 0, len(sources))
    verdicts = [
        _with_tiles(
            judge(
                sha256,
                source,
                scores.measured[sha256],
                request.thresholds,
                request.resolution,
            ),
            request,
        )
        for sha256, source in sources.items()
    ]
    rejected = Counter(check for verdict in verdicts for check in verdict.failed_checks)
    kept = [verdict for verdict in verdicts if verdict.kept]
    if not kept:
        raise _none_left(len(verdicts), rejected)
    report("judge", len(sources), len(sources), f"{len(kept)} of {len(sources)} images stay")
    train, aside, content_sha256, held_out_sha256 = _write_zips(store, request, kept, report)
    store.put(layout.dataset_verdicts(request.dataset), encode_verdicts(verdicts))
    dataset = Dataset(
        id=request.dataset,
        create_time=now(),
        collection=f"collections/{request.collection}",
        collection_sha256=collection.content_sha256,
        resolution=request.resolution,
        crop=request.crop,
        resize_filter=RESIZE_FILTER,
        thresholds=request.thresholds,
        check_versions={name: CHECKS[name].version for name in enabled},
        judged=len(verdicts),
        kept=len(kept),
        rejected=len(verdicts) - len(kept),
        train=train,
        held_out=aside,
        held_out_ratio=request.held_out_ratio,
        seed=request.seed,
        content_sha256=content_sha256,
        held_out_sha256=held_out_sha256,
    )
    dataset.create(store, layout.dataset_manifest(request.dataset), f"datasets/{request.dataset}")
    report("write", 1, 1, f"{train} squares to train on, {aside} held out")
    return Built(dataset, True, rejected, scores.scanned, scores.seconds)


def _load_collection(store: Store, collection_id: str) -> Collection:
    key = layout.collection_manifest(collection_id)
    return Collection.load(store, key, f"collections/{collection_id}")


def _sources(store: Store, collection_id: str, collection: Collection) -> dict[str, str]:
    """Hash to source of every stored image, each once, in the order of the collection."""
    key = layout.collection_items(collection_id)
    sources: dict[str, str] = {}
    for line in store.get(key).splitlines():
        item = Item.model_validate_json(line)
        if item.state == "stored":
            sources.setdefault(item.sha256, item.source)
    if content_hash(sources) != collection.content_sha256:
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


def _with_tiles(verdict: Verdict, request: BuildRequest) -> Verdict:
    if not verdict.kept:
        return verdict
    return verdict.model_copy(update={"tiles": len(_squares(verdict, request))})


def _squares(verdict: Verdict, request: BuildRequest) -> list[Square]:
    return squares(verdict.width, verdict.height, request.crop, request.resolution)


def _none_left(judged: int, rejected: Counter[str]) -> FailedPrecondition:
    counts = {check: rejected[check] for check in CHECKS if rejected[check]}
    reasons = ", ".join(f"{count} failed {check}" for check, count in counts.items())
    return FailedPrecondition(
        f"None of the {judged} images passed ({reasons}); collect other photos, or loosen or "
        "switch off these checks.",
        reason="NO_IMAGES_LEFT",
        judged=judged,
        **{f"failed_{check}": count for check, count in counts.items()},
    )


def _write_zips(
    store: Store, request: BuildRequest, kept: Sequence[Verdict], report: Report
) -> tuple[int, int, str, str]:
    """Cuts the survivors and stores both zips: squares to train on, held out, and their hashes."""
    ids = [(verdict.sha256, i) for verdict in kept for i in range(verdict.tiles)]
    aside = held_out(ids, request.held_out_ratio, request.seed)
    try:
        with tempfile.TemporaryDirectory(prefix="tagloom-filter-") as folder, ExitStack() as stack:
            train = stack.enter_context(DatasetZip(Path(folder) / "images.zip"))
            rest = stack.enter_context(DatasetZip(Path(folder) / "held_out.zip")) if aside else None
            _cut_all(store, request, kept, aside, train, rest, report)
            stack.close()
            report("write", 0, 1)
            store.put_file(layout.dataset_images(request.dataset), Path(folder) / "images.zip")
            held_out_key = layout.dataset_held_out(request.dataset)
            if rest is None:
                store.delete(held_out_key)  # of an earlier try with other settings
                return train.count, 0, train.sha256(), ""
            store.put_file(held_out_key, Path(folder) / "held_out.zip")
            return train.count, rest.count, train.sha256(), rest.sha256()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ResourceExhausted(
            f"The disk for temporary files ({tempfile.gettempdir()}) is full; free some space, or "
            "set TMPDIR to a larger one, then try again.",
            reason="DISK_FULL",
        ) from error


@dataclass(frozen=True, slots=True)
class _Piece:
    sha256: str
    squares: tuple[Square, ...]
    output_size: int


def _cut_all(
    store: Store,
    request: BuildRequest,
    kept: Sequence[Verdict],
    aside: frozenset[SquareId],
    train: DatasetZip,
    rest: DatasetZip | None,
    report: Report,
) -> None:
    pieces = [
        _Piece(verdict.sha256, tuple(_squares(verdict, request)), request.crop.output_size)
        for verdict in kept
    ]
    report("cut", 0, len(pieces))
    with closing(spread(_cut, pieces, store.url)) as outcomes:
        for done, (piece, outcome) in enumerate(outcomes, start=1):
            if isinstance(outcome, Died):
                raise ResourceExhausted(
                    f"Decoding the image {piece.sha256} in full ended the process that tried, most "
                    "often for want of memory; give the filter more memory, then try again.",
                    reason="DECODER_DIED",
                    sha256=piece.sha256,
                )
            for index, png in enumerate(outcome):
                to = rest if rest is not None and (piece.sha256, index) in aside else train
                to.add(png)
            report("cut", done, len(pieces))


def _cut(piece: _Piece) -> list[bytes]:
    """In a worker process: the squares of one image, as PNGs."""
    try:
        photo = decode(read_image(worker_store(), piece.sha256))
    except Undecodable as error:
        raise DataLoss(
            f"The image {piece.sha256} could be scored but not decoded in full: {error.detail}",
            reason="IMAGE_DAMAGED",
            sha256=piece.sha256,
        ) from error
    return [encode_png(cut(photo.rgb, square, piece.output_size)) for square in piece.squares]
