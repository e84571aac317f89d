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

class Metric(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METRIC_UNSPECIFIED: _ClassVar[Metric]
    METRIC_FRECHET: _ClassVar[Metric]
    METRIC_KERNEL: _ClassVar[Metric]
    METRIC_PRECISION: _ClassVar[Metric]
    METRIC_RECALL: _ClassVar[Metric]
    METRIC_EQT_INT: _ClassVar[Metric]
    METRIC_EQT_FRAC: _ClassVar[Metric]
    METRIC_EQR: _ClassVar[Metric]
METRIC_UNSPECIFIED: Metric
METRIC_FRECHET: Metric
METRIC_KERNEL: Metric
METRIC_PRECISION: Metric
METRIC_RECALL: Metric
METRIC_EQT_INT: Metric
METRIC_EQT_FRAC: Metric
METRIC_EQR: Metric

class Features(_message.Message):
    __slots__ = ("extractor", "version", "weights_sha256", "dimensions")
    EXTRACTOR_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_SHA256_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    extractor: str
    version: str
    weights_sha256: str
    dimensions: int
    def __init__(self, extractor: _Optional[str] = ..., version: _Optional[str] = ..., weights_sha256: _Optional[str] = ..., dimensions: _Optional[int] = ...) -> None: ...

class Score(_message.Message):
    __slots__ = ("metric", "value", "low", "high")
    METRIC_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    metric: str
    value: float
    low: float
    high: float
    def __init__(self, metric: _Optional[str] = ..., value: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ...) -> None: ...

class SnapshotScore(_message.Message):
    __slots__ = ("snapshot", "kimg", "scores", "real_count", "generated_count", "seconds")
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    KIMG_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    REAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    GENERATED_COUNT_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    snapshot: str
    kimg: float
    scores: _containers.RepeatedCompositeFieldContainer[Score]
    real_count: int
    generated_count: int
    seconds: float
    def __init__(self, snapshot: _Optional[str] = ..., kimg: _Optional[float] = ..., scores: _Optional[_Iterable[_Union[Score, _Mapping]]] = ..., real_count: _Optional[int] = ..., generated_count: _Optional[int] = ..., seconds: _Optional[float] = ...) -> None: ...

class Gate(_message.Message):
    __slots__ = ("passed", "sentence")
    PASSED_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    passed: bool
    sentence: str
    def __init__(self, passed: _Optional[bool] = ..., sentence: _Optional[str] = ...) -> None: ...

class Evaluation(_message.Message):
    __slots__ = ("name", "create_time", "run", "dataset", "held_out", "features", "snapshots", "gate", "best_snapshot")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    GATE_FIELD_NUMBER: _ClassVar[int]
    BEST_SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    name: str
    create_time: _timestamp_pb2.Timestamp
    run: str
    dataset: str
    held_out: bool
    features: Features
    snapshots: _containers.RepeatedCompositeFieldContainer[SnapshotScore]
    gate: Gate
    best_snapshot: str
    def __init__(self, name: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., run: _Optional[str] = ..., dataset: _Optional[str] = ..., held_out: _Optional[bool] = ..., features: _Optional[_Union[Features, _Mapping]] = ..., snapshots: _Optional[_Iterable[_Union[SnapshotScore, _Mapping]]] = ..., gate: _Optional[_Union[Gate, _Mapping]] = ..., best_snapshot: _Optional[str] = ...) -> None: ...

class CreateEvaluationRequest(_message.Message):
    __slots__ = ("evaluation_id", "run", "metrics", "samples", "features", "request_id")
    EVALUATION_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    evaluation_id: str
    run: str
    metrics: _containers.RepeatedScalarFieldContainer[Metric]
    samples: int
    features: str
    request_id: str
    def __init__(self, evaluation_id: _Optional[str] = ..., run: _Optional[str] = ..., metrics: _Optional[_Iterable[_Union[Metric, str]]] = ..., samples: _Optional[int] = ..., features: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CompareFoldersRequest(_message.Message):
    __slots__ = ("real_path", "generated_path", "metrics", "features", "request_id")
    REAL_PATH_FIELD_NUMBER: _ClassVar[int]
    GENERATED_PATH_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    real_path: str
    generated_path: str
    metrics: _containers.RepeatedScalarFieldContainer[Metric]
    features: str
    request_id: str
    def __init__(self, real_path: _Optional[str] = ..., generated_path: _Optional[str] = ..., metrics: _Optional[_Iterable[_Union[Metric, str]]] = ..., features: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class GetEvaluationRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListEvaluationsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListEvaluationsResponse(_message.Message):
    __slots__ = ("evaluations", "next_page_token")
    EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    evaluations: _containers.RepeatedCompositeFieldContainer[Evaluation]
    next_page_token: str
    def __init__(self, evaluations: _Optional[_Iterable[_Union[Evaluation, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteEvaluationRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...
