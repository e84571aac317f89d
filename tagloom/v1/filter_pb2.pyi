import datetime

from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Crop(_message.Message):
    __slots__ = ("mode", "tile_size", "output_size", "overlap")
    class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MODE_UNSPECIFIED: _ClassVar[Crop.Mode]
        MODE_CENTER: _ClassVar[Crop.Mode]
        MODE_TILES: _ClassVar[Crop.Mode]
        MODE_SUBJECT: _ClassVar[Crop.Mode]
    MODE_UNSPECIFIED: Crop.Mode
    MODE_CENTER: Crop.Mode
    MODE_TILES: Crop.Mode
    MODE_SUBJECT: Crop.Mode
    MODE_FIELD_NUMBER: _ClassVar[int]
    TILE_SIZE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SIZE_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_FIELD_NUMBER: _ClassVar[int]
    mode: Crop.Mode
    tile_size: int
    output_size: int
    overlap: float
    def __init__(self, mode: _Optional[_Union[Crop.Mode, str]] = ..., tile_size: _Optional[int] = ..., output_size: _Optional[int] = ..., overlap: _Optional[float] = ...) -> None: ...

class LabelSource(_message.Message):
    __slots__ = ("kind", "classes")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[LabelSource.Kind]
        KIND_HASHTAG: _ClassVar[LabelSource.Kind]
        KIND_FOLDER: _ClassVar[LabelSource.Kind]
    KIND_UNSPECIFIED: LabelSource.Kind
    KIND_HASHTAG: LabelSource.Kind
    KIND_FOLDER: LabelSource.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    kind: LabelSource.Kind
    classes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, kind: _Optional[_Union[LabelSource.Kind, str]] = ..., classes: _Optional[_Iterable[str]] = ...) -> None: ...

class LabelClass(_message.Message):
    __slots__ = ("name", "train_count", "held_out_count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TRAIN_COUNT_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    train_count: int
    held_out_count: int
    def __init__(self, name: _Optional[str] = ..., train_count: _Optional[int] = ..., held_out_count: _Optional[int] = ...) -> None: ...

class Threshold(_message.Message):
    __slots__ = ("check", "enabled", "value")
    CHECK_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    check: str
    enabled: bool
    value: float
    def __init__(self, check: _Optional[str] = ..., enabled: _Optional[bool] = ..., value: _Optional[float] = ...) -> None: ...

class Dataset(_message.Message):
    __slots__ = ("name", "create_time", "collection", "resolution", "crop", "thresholds", "judged_count", "kept_count", "rejected_count", "train_count", "held_out_count", "content_sha256", "held_out_sha256", "profile", "labels", "classes", "resize_filter", "origin", "revision", "update_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    CROP_FIELD_NUMBER: _ClassVar[int]
    THRESHOLDS_FIELD_NUMBER: _ClassVar[int]
    JUDGED_COUNT_FIELD_NUMBER: _ClassVar[int]
    KEPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    REJECTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRAIN_COUNT_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_COUNT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_SHA256_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_SHA256_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    RESIZE_FILTER_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    create_time: _timestamp_pb2.Timestamp
    collection: str
    resolution: int
    crop: Crop
    thresholds: _containers.RepeatedCompositeFieldContainer[Threshold]
    judged_count: int
    kept_count: int
    rejected_count: int
    train_count: int
    held_out_count: int
    content_sha256: str
    held_out_sha256: str
    profile: str
    labels: LabelSource
    classes: _containers.RepeatedCompositeFieldContainer[LabelClass]
    resize_filter: str
    origin: str
    revision: int
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., collection: _Optional[str] = ..., resolution: _Optional[int] = ..., crop: _Optional[_Union[Crop, _Mapping]] = ..., thresholds: _Optional[_Iterable[_Union[Threshold, _Mapping]]] = ..., judged_count: _Optional[int] = ..., kept_count: _Optional[int] = ..., rejected_count: _Optional[int] = ..., train_count: _Optional[int] = ..., held_out_count: _Optional[int] = ..., content_sha256: _Optional[str] = ..., held_out_sha256: _Optional[str] = ..., profile: _Optional[str] = ..., labels: _Optional[_Union[LabelSource, _Mapping]] = ..., classes: _Optional[_Iterable[_Union[LabelClass, _Mapping]]] = ..., resize_filter: _Optional[str] = ..., origin: _Optional[str] = ..., revision: _Optional[int] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CheckResult(_message.Message):
    __slots__ = ("check", "score", "unit", "threshold", "minimum", "passed", "boxes", "detail", "related_sha256", "margin")
    CHECK_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    BOXES_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    RELATED_SHA256_FIELD_NUMBER: _ClassVar[int]
    MARGIN_FIELD_NUMBER: _ClassVar[int]
    check: str
    score: float
    unit: str
    threshold: float
    minimum: bool
    passed: bool
    boxes: _containers.RepeatedCompositeFieldContainer[Box]
    detail: str
    related_sha256: str
    margin: float
    def __init__(self, check: _Optional[str] = ..., score: _Optional[float] = ..., unit: _Optional[str] = ..., threshold: _Optional[float] = ..., minimum: _Optional[bool] = ..., passed: _Optional[bool] = ..., boxes: _Optional[_Iterable[_Union[Box, _Mapping]]] = ..., detail: _Optional[str] = ..., related_sha256: _Optional[str] = ..., margin: _Optional[float] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("left", "top", "right", "bottom", "score")
    LEFT_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    BOTTOM_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    left: float
    top: float
    right: float
    bottom: float
    score: float
    def __init__(self, left: _Optional[float] = ..., top: _Optional[float] = ..., right: _Optional[float] = ..., bottom: _Optional[float] = ..., score: _Optional[float] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("sha256", "source", "kept", "failed_checks", "results", "width", "height", "tile_count", "squares", "label", "closeness")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    FAILED_CHECKS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    TILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SQUARES_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    CLOSENESS_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    source: str
    kept: bool
    failed_checks: _containers.RepeatedScalarFieldContainer[str]
    results: _containers.RepeatedCompositeFieldContainer[CheckResult]
    width: int
    height: int
    tile_count: int
    squares: _containers.RepeatedCompositeFieldContainer[Square]
    label: str
    closeness: float
    def __init__(self, sha256: _Optional[str] = ..., source: _Optional[str] = ..., kept: _Optional[bool] = ..., failed_checks: _Optional[_Iterable[str]] = ..., results: _Optional[_Iterable[_Union[CheckResult, _Mapping]]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., tile_count: _Optional[int] = ..., squares: _Optional[_Iterable[_Union[Square, _Mapping]]] = ..., label: _Optional[str] = ..., closeness: _Optional[float] = ...) -> None: ...

class Square(_message.Message):
    __slots__ = ("left", "top", "side", "held_out", "file")
    LEFT_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    left: int
    top: int
    side: int
    held_out: bool
    file: str
    def __init__(self, left: _Optional[int] = ..., top: _Optional[int] = ..., side: _Optional[int] = ..., held_out: _Optional[bool] = ..., file: _Optional[str] = ...) -> None: ...

class CreateDatasetRequest(_message.Message):
    __slots__ = ("dataset_id", "collection", "resolution", "crop", "thresholds", "held_out_ratio", "seed", "request_id", "profile", "labels")
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    CROP_FIELD_NUMBER: _ClassVar[int]
    THRESHOLDS_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_RATIO_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    dataset_id: str
    collection: str
    resolution: int
    crop: Crop
    thresholds: _containers.RepeatedCompositeFieldContainer[Threshold]
    held_out_ratio: float
    seed: int
    request_id: str
    profile: str
    labels: LabelSource
    def __init__(self, dataset_id: _Optional[str] = ..., collection: _Optional[str] = ..., resolution: _Optional[int] = ..., crop: _Optional[_Union[Crop, _Mapping]] = ..., thresholds: _Optional[_Iterable[_Union[Threshold, _Mapping]]] = ..., held_out_ratio: _Optional[float] = ..., seed: _Optional[int] = ..., request_id: _Optional[str] = ..., profile: _Optional[str] = ..., labels: _Optional[_Union[LabelSource, _Mapping]] = ...) -> None: ...

class ImportDatasetRequest(_message.Message):
    __slots__ = ("dataset_id", "path", "held_out_ratio", "seed", "request_id")
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_RATIO_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    dataset_id: str
    path: str
    held_out_ratio: float
    seed: int
    request_id: str
    def __init__(self, dataset_id: _Optional[str] = ..., path: _Optional[str] = ..., held_out_ratio: _Optional[float] = ..., seed: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class Mark(_message.Message):
    __slots__ = ("image", "keep", "reason")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    KEEP_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    image: str
    keep: bool
    reason: str
    def __init__(self, image: _Optional[str] = ..., keep: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class TuneProfileRequest(_message.Message):
    __slots__ = ("collection", "marks", "resolution", "profile", "thresholds", "precision", "seed", "request_id")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLDS_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    collection: str
    marks: _containers.RepeatedCompositeFieldContainer[Mark]
    resolution: int
    profile: str
    thresholds: _containers.RepeatedCompositeFieldContainer[Threshold]
    precision: float
    seed: int
    request_id: str
    def __init__(self, collection: _Optional[str] = ..., marks: _Optional[_Iterable[_Union[Mark, _Mapping]]] = ..., resolution: _Optional[int] = ..., profile: _Optional[str] = ..., thresholds: _Optional[_Iterable[_Union[Threshold, _Mapping]]] = ..., precision: _Optional[float] = ..., seed: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class Estimate(_message.Message):
    __slots__ = ("value", "low", "high")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    value: float
    low: float
    high: float
    def __init__(self, value: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ...) -> None: ...

class Agreement(_message.Message):
    __slots__ = ("precision", "recall", "f1")
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    F1_FIELD_NUMBER: _ClassVar[int]
    precision: Estimate
    recall: Estimate
    f1: Estimate
    def __init__(self, precision: _Optional[_Union[Estimate, _Mapping]] = ..., recall: _Optional[_Union[Estimate, _Mapping]] = ..., f1: _Optional[_Union[Estimate, _Mapping]] = ...) -> None: ...

class TradeOff(_message.Message):
    __slots__ = ("threshold", "precision", "recall")
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    threshold: float
    precision: float
    recall: float
    def __init__(self, threshold: _Optional[float] = ..., precision: _Optional[float] = ..., recall: _Optional[float] = ...) -> None: ...

class SideChange(_message.Message):
    __slots__ = ("sha256", "source", "kept", "checks", "said")
    class Said(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SAID_UNSPECIFIED: _ClassVar[SideChange.Said]
        SAID_KEEP: _ClassVar[SideChange.Said]
        SAID_REJECT: _ClassVar[SideChange.Said]
    SAID_UNSPECIFIED: SideChange.Said
    SAID_KEEP: SideChange.Said
    SAID_REJECT: SideChange.Said
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    SAID_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    source: str
    kept: bool
    checks: _containers.RepeatedScalarFieldContainer[str]
    said: SideChange.Said
    def __init__(self, sha256: _Optional[str] = ..., source: _Optional[str] = ..., kept: _Optional[bool] = ..., checks: _Optional[_Iterable[str]] = ..., said: _Optional[_Union[SideChange.Said, str]] = ...) -> None: ...

class TunedCheck(_message.Message):
    __slots__ = ("check", "unit", "minimum", "before", "after", "alone", "low", "high", "separation", "precision", "recall", "mark_count", "curve", "changes", "change_count")
    CHECK_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    ALONE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    SEPARATION_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    MARK_COUNT_FIELD_NUMBER: _ClassVar[int]
    CURVE_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    CHANGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    check: str
    unit: str
    minimum: bool
    before: Threshold
    after: Threshold
    alone: Threshold
    low: float
    high: float
    separation: float
    precision: float
    recall: float
    mark_count: int
    curve: _containers.RepeatedCompositeFieldContainer[TradeOff]
    changes: _containers.RepeatedCompositeFieldContainer[SideChange]
    change_count: int
    def __init__(self, check: _Optional[str] = ..., unit: _Optional[str] = ..., minimum: _Optional[bool] = ..., before: _Optional[_Union[Threshold, _Mapping]] = ..., after: _Optional[_Union[Threshold, _Mapping]] = ..., alone: _Optional[_Union[Threshold, _Mapping]] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., separation: _Optional[float] = ..., precision: _Optional[float] = ..., recall: _Optional[float] = ..., mark_count: _Optional[int] = ..., curve: _Optional[_Iterable[_Union[TradeOff, _Mapping]]] = ..., changes: _Optional[_Iterable[_Union[SideChange, _Mapping]]] = ..., change_count: _Optional[int] = ...) -> None: ...

class TuneProfileResponse(_message.Message):
    __slots__ = ("collection", "thresholds", "checks", "keep_count", "reject_count", "unknown_images", "before", "fitted", "expected", "gain", "frontier", "kept_before_count", "kept_after_count", "changes", "change_count", "advice")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    THRESHOLDS_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    KEEP_COUNT_FIELD_NUMBER: _ClassVar[int]
    REJECT_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_IMAGES_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    FITTED_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    GAIN_FIELD_NUMBER: _ClassVar[int]
    FRONTIER_FIELD_NUMBER: _ClassVar[int]
    KEPT_BEFORE_COUNT_FIELD_NUMBER: _ClassVar[int]
    KEPT_AFTER_COUNT_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    CHANGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    collection: str
    thresholds: _containers.RepeatedCompositeFieldContainer[Threshold]
    checks: _containers.RepeatedCompositeFieldContainer[TunedCheck]
    keep_count: int
    reject_count: int
    unknown_images: _containers.RepeatedScalarFieldContainer[str]
    before: Agreement
    fitted: Agreement
    expected: Agreement
    gain: Estimate
    frontier: _containers.RepeatedCompositeFieldContainer[TradeOff]
    kept_before_count: int
    kept_after_count: int
    changes: _containers.RepeatedCompositeFieldContainer[SideChange]
    change_count: int
    advice: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, collection: _Optional[str] = ..., thresholds: _Optional[_Iterable[_Union[Threshold, _Mapping]]] = ..., checks: _Optional[_Iterable[_Union[TunedCheck, _Mapping]]] = ..., keep_count: _Optional[int] = ..., reject_count: _Optional[int] = ..., unknown_images: _Optional[_Iterable[str]] = ..., before: _Optional[_Union[Agreement, _Mapping]] = ..., fitted: _Optional[_Union[Agreement, _Mapping]] = ..., expected: _Optional[_Union[Agreement, _Mapping]] = ..., gain: _Optional[_Union[Estimate, _Mapping]] = ..., frontier: _Optional[_Iterable[_Union[TradeOff, _Mapping]]] = ..., kept_before_count: _Optional[int] = ..., kept_after_count: _Optional[int] = ..., changes: _Optional[_Iterable[_Union[SideChange, _Mapping]]] = ..., change_count: _Optional[int] = ..., advice: _Optional[_Iterable[str]] = ...) -> None: ...

class GetDatasetRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListDatasetsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDatasetsResponse(_message.Message):
    __slots__ = ("datasets", "next_page_token")
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    datasets: _containers.RepeatedCompositeFieldContainer[Dataset]
    next_page_token: str
    def __init__(self, datasets: _Optional[_Iterable[_Union[Dataset, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListVerdictsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token", "order_by")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    order_by: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., order_by: _Optional[str] = ...) -> None: ...

class ListVerdictsResponse(_message.Message):
    __slots__ = ("verdicts", "next_page_token")
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    verdicts: _containers.RepeatedCompositeFieldContainer[Verdict]
    next_page_token: str
    def __init__(self, verdicts: _Optional[_Iterable[_Union[Verdict, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RenderVerdictRequest(_message.Message):
    __slots__ = ("name", "sha256", "max_side", "view", "profile", "thresholds", "resolution")
    class View(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        VIEW_UNSPECIFIED: _ClassVar[RenderVerdictRequest.View]
        VIEW_PHOTO: _ClassVar[RenderVerdictRequest.View]
        VIEW_PLAIN: _ClassVar[RenderVerdictRequest.View]
        VIEW_BLUR: _ClassVar[RenderVerdictRequest.View]
        VIEW_SHEET: _ClassVar[RenderVerdictRequest.View]
    VIEW_UNSPECIFIED: RenderVerdictRequest.View
    VIEW_PHOTO: RenderVerdictRequest.View
    VIEW_PLAIN: RenderVerdictRequest.View
    VIEW_BLUR: RenderVerdictRequest.View
    VIEW_SHEET: RenderVerdictRequest.View
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    MAX_SIDE_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLDS_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    sha256: str
    max_side: int
    view: RenderVerdictRequest.View
    profile: str
    thresholds: _containers.RepeatedCompositeFieldContainer[Threshold]
    resolution: int
    def __init__(self, name: _Optional[str] = ..., sha256: _Optional[str] = ..., max_side: _Optional[int] = ..., view: _Optional[_Union[RenderVerdictRequest.View, str]] = ..., profile: _Optional[str] = ..., thresholds: _Optional[_Iterable[_Union[Threshold, _Mapping]]] = ..., resolution: _Optional[int] = ...) -> None: ...

class RenderVerdictResponse(_message.Message):
    __slots__ = ("jpeg",)
    JPEG_FIELD_NUMBER: _ClassVar[int]
    jpeg: bytes
    def __init__(self, jpeg: _Optional[bytes] = ...) -> None: ...

class DeleteDatasetRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ForgetImagesRequest(_message.Message):
    __slots__ = ("sha256", "request_id")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    sha256: _containers.RepeatedScalarFieldContainer[str]
    request_id: str
    def __init__(self, sha256: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class ForgetImagesResponse(_message.Message):
    __slots__ = ("datasets", "changed")
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    datasets: _containers.RepeatedScalarFieldContainer[str]
    changed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, datasets: _Optional[_Iterable[str]] = ..., changed: _Optional[_Iterable[str]] = ...) -> None: ...

class ScoreImagesRequest(_message.Message):
    __slots__ = ("collection", "profile", "thresholds", "shard", "shard_count", "request_id")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLDS_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    SHARD_COUNT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    collection: str
    profile: str
    thresholds: _containers.RepeatedCompositeFieldContainer[Threshold]
    shard: int
    shard_count: int
    request_id: str
    def __init__(self, collection: _Optional[str] = ..., profile: _Optional[str] = ..., thresholds: _Optional[_Iterable[_Union[Threshold, _Mapping]]] = ..., shard: _Optional[int] = ..., shard_count: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class ScoreImagesResponse(_message.Message):
    __slots__ = ("image_count", "scanned_count")
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SCANNED_COUNT_FIELD_NUMBER: _ClassVar[int]
    image_count: int
    scanned_count: int
    def __init__(self, image_count: _Optional[int] = ..., scanned_count: _Optional[int] = ...) -> None: ...
