"""Between messages of `tagloom.v1` and the filter's own types."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from services.filter.closeness import closeness, margin
from services.filter.importing import ImportRequest
from services.filter.overlay import View, render_candidate, render_verdict
from services.filter.profile import profile
from services.filter.request import BuildRequest
from services.filter.shards import ShardRequest
from services.filter.verdicts import read_closest, read_verdicts
from tagloom.artifacts import layout
from tagloom.artifacts.dataset import (
    Box,
    CheckResult,
    Crop,
    Dataset,
    LabelSource,
    Threshold,
    Verdict,
)
from tagloom.errors import InvalidArgument
from tagloom.v1 import filter_pb2

__all__ = [
    "Rendering",
    "build_request",
    "dataset_id",
    "dataset_message",
    "import_request",
    "render_request",
    "shard_request",
    "verdict_message",
    "verdict_order",
]


def build_request(request: filter_pb2.CreateDatasetRequest) -> BuildRequest:
    """What is asked for, checked. Raises InvalidArgument."""
    (collection_id,) = layout.parse_name(request.collection, "collections/{}")
    return BuildRequest(
        dataset=request.dataset_id,
        collection=collection_id,
        resolution=request.resolution,
        crop=_crop(request.crop),
        thresholds=_thresholds(request.thresholds),
        held_out_ratio=request.held_out_ratio,
        seed=request.seed,
        profile=request.profile,
        labels=_labels(request.labels) if request.HasField("labels") else None,
    ).checked()


def import_request(
    request: filter_pb2.ImportDatasetRequest, roots: tuple[Path, ...] | None
) -> ImportRequest:
    """What is to be imported, checked; `roots`: where from. Raises as `ImportRequest.checked`."""
    asked = ImportRequest(
        dataset=request.dataset_id,
        path=request.path,
        held_out_ratio=request.held_out_ratio,
        seed=request.seed,
        roots=roots,
    )
    asked.checked()
    return asked


def shard_request(request: filter_pb2.ScoreImagesRequest) -> ShardRequest:
    """Which images are to be scored, checked. Raises InvalidArgument."""
    (collection_id,) = layout.parse_name(request.collection, "collections/{}")
    return ShardRequest(
        collection=collection_id,
        shard=request.shard,
        shard_count=request.shard_count or 1,
        profile=request.profile,
        thresholds=_thresholds(request.thresholds),
    ).checked()


def _thresholds(thresholds: Iterable[filter_pb2.Threshold]) -> tuple[Threshold, ...]:
    return tuple(
        Threshold(check=threshold.check, enabled=threshold.enabled, value=threshold.value)
        for threshold in thresholds
    )


def dataset_id(name: str) -> str:
    """The id in `datasets/{id}`. Raises InvalidArgument (INVALID_NAME)."""
    (value,) = layout.parse_name(name, "datasets/{}")
    return value


_MODES: dict[filter_pb2.Crop.Mode, Literal["center", "subject", "tiles"]] = {
    filter_pb2.Crop.MODE_CENTER: "center",
    filter_pb2.Crop.MODE_TILES: "tiles",
    filter_pb2.Crop.MODE_SUBJECT: "subject",
}
_KINDS: dict[filter_pb2.LabelSource.Kind, Literal["hashtag", "folder"]] = {
    filter_pb2.LabelSource.KIND_HASHTAG: "hashtag",
    filter_pb2.LabelSource.KIND_FOLDER: "folder",
}


_ORDERS = {"": read_verdicts, "closeness": read_closest}


def _crop(crop: filter_pb2.Crop) -> Crop:
    mode = _MODES.get(crop.mode or filter_pb2.Crop.MODE_CENTER)
    if mode is None:
        raise InvalidArgument(
            f"Crop mode {crop.mode} is not known to this server; use MODE_CENTER, MODE_SUBJECT or "
            "MODE_TILES.",
            reason="CROP_MODE_UNKNOWN",
            field="crop.mode",
        )
    for field in ("tile_size", "output_size"):
        if getattr(crop, field) < 0:
            raise InvalidArgument(
                f"crop.{field} is negative; give a size in pixels, or 0 for the judged resolution.",
                reason="CROP_SIZE_NEGATIVE",
                field=f"crop.{field}",
            )
    return Crop(
        mode=mode, tile_size=crop.tile_size, overlap=crop.overlap, output_size=crop.output_size
    )


def _labels(labels: filter_pb2.LabelSource) -> LabelSource | None:
    if labels.kind == filter_pb2.LabelSource.KIND_UNSPECIFIED and not labels.classes:
        return None
    kind = _KINDS.get(labels.kind)
    if kind is None:
        raise InvalidArgument(
            f"Labels of the kind {labels.kind} are not known to this server; use KIND_HASHTAG or "
            "KIND_FOLDER.",
            reason="LABEL_KIND_UNKNOWN",
            field="labels.kind",
        )
    return LabelSource(kind=kind, classes=tuple(labels.classes))


def dataset_message(dataset: Dataset) -> filter_pb2.Dataset:
    """A dataset as clients see it."""
    modes = {name: number for number, name in _MODES.items()}
    message = filter_pb2.Dataset(
        name=f"datasets/{dataset.id}",
        collection=dataset.collection,
        resolution=dataset.resolution,
        crop=filter_pb2.Crop(
            mode=modes[dataset.crop.mode],
            tile_size=dataset.crop.tile_size,
            overlap=dataset.crop.overlap,
            output_size=dataset.crop.output_size,
        ),
        thresholds=[
            filter_pb2.Threshold(
                check=threshold.check, enabled=threshold.enabled, value=threshold.value
            )
            for threshold in dataset.thresholds
        ],
        judged_count=dataset.judged,
        kept_count=dataset.kept,
        rejected_count=dataset.rejected,
        train_count=dataset.train,
        held_out_count=dataset.held_out,
        content_sha256=dataset.content_sha256,
        held_out_sha256=dataset.held_out_sha256,
        profile=dataset.profile,
        classes=[
            filter_pb2.LabelClass(
                name=entry.name, train_count=entry.train, held_out_count=entry.held_out
            )
            for entry in dataset.classes
        ],
        resize_filter=dataset.resize_filter,
        origin=dataset.origin,
        revision=dataset.revision,
        update_time=dataset.update_time or dataset.create_time,
    )
    if dataset.labels is not None:
        kinds = {name: number for number, name in _KINDS.items()}
        message.labels.kind = kinds[dataset.labels.kind]
        message.labels.classes.extend(dataset.labels.classes)
    message.create_time.FromDatetime(dataset.create_time)
    return message


def verdict_order(order_by: str) -> Callable[..., tuple[list[Verdict], int]]:
    """What reads verdicts in this order. Raises InvalidArgument (ORDER_UNKNOWN)."""
    if order_by not in _ORDERS:
        raise InvalidArgument(
            f"Verdicts cannot be ordered by {order_by[:60]!r}; leave it empty, or use closeness.",
            reason="ORDER_UNKNOWN",
            field="order_by",
        )
    return _ORDERS[order_by]


def verdict_message(verdict: Verdict) -> filter_pb2.Verdict:
    """A verdict as clients see it."""
    return filter_pb2.Verdict(
        sha256=verdict.sha256,
        source=verdict.source,
        kept=verdict.kept,
        failed_checks=verdict.failed_checks,
        results=[_result_message(result) for result in verdict.results],
        width=verdict.width,
        height=verdict.height,
        tile_count=verdict.tiles,
        squares=[
            filter_pb2.Square(
                left=square.left,
                top=square.top,
                side=square.side,
                held_out=square.held_out,
                file=square.file,
            )
            for square in verdict.squares
        ],
        label=verdict.label,
        closeness=closeness(verdict),
    )


def _result_message(result: CheckResult) -> filter_pb2.CheckResult:
    return filter_pb2.CheckResult(
        check=result.check,
        score=result.score,
        unit=result.unit,
        threshold=result.threshold,
        minimum=result.minimum,
        passed=result.passed,
        boxes=[_box_message(box) for box in result.boxes],
        detail=result.detail,
        margin=margin(result),
        related_sha256=result.related,
    )


def _box_message(box: Box) -> filter_pb2.Box:
    return filter_pb2.Box(
        left=box.left, top=box.top, right=box.right, bottom=box.bottom, score=box.score
    )


_VIEWS = {
    filter_pb2.RenderVerdictRequest.VIEW_UNSPECIFIED: View.PHOTO,
    filter_pb2.RenderVerdictRequest.VIEW_PHOTO: View.PHOTO,
    filter_pb2.RenderVerdictRequest.VIEW_PLAIN: View.PLAIN,
    filter_pb2.RenderVerdictRequest.VIEW_BLUR: View.BLUR,
    filter_pb2.RenderVerdictRequest.VIEW_SHEET: View.SHEET,
}


@dataclass(frozen=True, slots=True)
class Rendering:
    """`function(store, *arguments)` gives the JPEG."""

    function: Callable[..., bytes]
    arguments: tuple[Any, ...]


def render_request(request: filter_pb2.RenderVerdictRequest) -> Rendering:
    """What is asked for. Raises InvalidArgument."""
    view = _VIEWS.get(request.view)
    if view is None:
        raise InvalidArgument(
            f"The view {request.view} is not known to this server; use one of "
            f"{', '.join(filter_pb2.RenderVerdictRequest.View.keys()[1:])}.",
            reason="VIEW_UNKNOWN",
            field="view",
        )
    (resource_id,) = layout.parse_name(request.name, "datasets/{}", "collections/{}")
    if request.name.startswith("datasets/"):
        return Rendering(render_verdict, (resource_id, request.sha256, request.max_side, view))
    thresholds = profile(
        (
            Threshold(check=threshold.check, enabled=threshold.enabled, value=threshold.value)
            for threshold in request.thresholds
        ),
        request.profile,
    )
    if request.resolution <= 0:
        thresholds = tuple(
            threshold.model_copy(update={"enabled": False})
            if threshold.check == "resolution"
            else threshold
            for threshold in thresholds
        )
    return Rendering(
        render_candidate,
        (resource_id, request.sha256, thresholds, request.resolution, request.max_side, view),
    )
