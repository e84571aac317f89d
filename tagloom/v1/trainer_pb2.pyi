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

class TrainingOptions(_message.Message):
    __slots__ = ("config", "kimg", "batch", "r1_gamma", "g_learning_rate", "d_learning_rate", "augment", "ada_target", "ada_kimg", "augment_p", "ema_kimg", "mirror", "seed", "channel_base", "channel_max", "latent_size", "mapping_layers", "snapshot_kimg", "tick_kimg", "samples", "freeze_d", "ema_rampup", "path_length_weight", "path_length_interval", "style_mixing", "blur_sigma", "blur_fade_kimg", "r1_interval", "ada_interval", "augment_pipe", "num_layers", "margin_size", "mbstd_group", "conv_clamp", "adam_beta1", "adam_beta2", "adam_epsilon", "bad_updates_limit", "micro_batch", "patience", "score_samples", "keep_states", "keep_snapshots", "gamma_auto", "gamma_trial_kimg", "mixed_precision", "conditional")
    class Config(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CONFIG_UNSPECIFIED: _ClassVar[TrainingOptions.Config]
        CONFIG_STYLEGAN3_T: _ClassVar[TrainingOptions.Config]
        CONFIG_STYLEGAN3_R: _ClassVar[TrainingOptions.Config]
        CONFIG_STYLEGAN2: _ClassVar[TrainingOptions.Config]
    CONFIG_UNSPECIFIED: TrainingOptions.Config
    CONFIG_STYLEGAN3_T: TrainingOptions.Config
    CONFIG_STYLEGAN3_R: TrainingOptions.Config
    CONFIG_STYLEGAN2: TrainingOptions.Config
    class Augment(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        AUGMENT_UNSPECIFIED: _ClassVar[TrainingOptions.Augment]
        AUGMENT_ADA: _ClassVar[TrainingOptions.Augment]
        AUGMENT_FIXED: _ClassVar[TrainingOptions.Augment]
        AUGMENT_NONE: _ClassVar[TrainingOptions.Augment]
    AUGMENT_UNSPECIFIED: TrainingOptions.Augment
    AUGMENT_ADA: TrainingOptions.Augment
    AUGMENT_FIXED: TrainingOptions.Augment
    AUGMENT_NONE: TrainingOptions.Augment
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    KIMG_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    R1_GAMMA_FIELD_NUMBER: _ClassVar[int]
    G_LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    D_LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    AUGMENT_FIELD_NUMBER: _ClassVar[int]
    ADA_TARGET_FIELD_NUMBER: _ClassVar[int]
    ADA_KIMG_FIELD_NUMBER: _ClassVar[int]
    AUGMENT_P_FIELD_NUMBER: _ClassVar[int]
    EMA_KIMG_FIELD_NUMBER: _ClassVar[int]
    MIRROR_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_BASE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_MAX_FIELD_NUMBER: _ClassVar[int]
    LATENT_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAPPING_LAYERS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_KIMG_FIELD_NUMBER: _ClassVar[int]
    TICK_KIMG_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    FREEZE_D_FIELD_NUMBER: _ClassVar[int]
    EMA_RAMPUP_FIELD_NUMBER: _ClassVar[int]
    PATH_LENGTH_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    PATH_LENGTH_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    STYLE_MIXING_FIELD_NUMBER: _ClassVar[int]
    BLUR_SIGMA_FIELD_NUMBER: _ClassVar[int]
    BLUR_FADE_KIMG_FIELD_NUMBER: _ClassVar[int]
    R1_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    ADA_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    AUGMENT_PIPE_FIELD_NUMBER: _ClassVar[int]
    NUM_LAYERS_FIELD_NUMBER: _ClassVar[int]
    MARGIN_SIZE_FIELD_NUMBER: _ClassVar[int]
    MBSTD_GROUP_FIELD_NUMBER: _ClassVar[int]
    CONV_CLAMP_FIELD_NUMBER: _ClassVar[int]
    ADAM_BETA1_FIELD_NUMBER: _ClassVar[int]
    ADAM_BETA2_FIELD_NUMBER: _ClassVar[int]
    ADAM_EPSILON_FIELD_NUMBER: _ClassVar[int]
    BAD_UPDATES_LIMIT_FIELD_NUMBER: _ClassVar[int]
    MICRO_BATCH_FIELD_NUMBER: _ClassVar[int]
    PATIENCE_FIELD_NUMBER: _ClassVar[int]
    SCORE_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    KEEP_STATES_FIELD_NUMBER: _ClassVar[int]
    KEEP_SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    GAMMA_AUTO_FIELD_NUMBER: _ClassVar[int]
    GAMMA_TRIAL_KIMG_FIELD_NUMBER: _ClassVar[int]
    MIXED_PRECISION_FIELD_NUMBER: _ClassVar[int]
    CONDITIONAL_FIELD_NUMBER: _ClassVar[int]
    config: TrainingOptions.Config
    kimg: float
    batch: int
    r1_gamma: float
    g_learning_rate: float
    d_learning_rate: float
    augment: TrainingOptions.Augment
    ada_target: float
    ada_kimg: float
    augment_p: float
    ema_kimg: float
    mirror: bool
    seed: int
    channel_base: int
    channel_max: int
    latent_size: int
    mapping_layers: int
    snapshot_kimg: float
    tick_kimg: float
    samples: int
    freeze_d: int
    ema_rampup: float
    path_length_weight: float
    path_length_interval: int
    style_mixing: float
    blur_sigma: float
    blur_fade_kimg: float
    r1_interval: int
    ada_interval: int
    augment_pipe: str
    num_layers: int
    margin_size: int
    mbstd_group: int
    conv_clamp: float
    adam_beta1: float
    adam_beta2: float
    adam_epsilon: float
    bad_updates_limit: int
    micro_batch: int
    patience: int
    score_samples: int
    keep_states: int
    keep_snapshots: int
    gamma_auto: bool
    gamma_trial_kimg: float
    mixed_precision: bool
    conditional: bool
    def __init__(self, config: _Optional[_Union[TrainingOptions.Config, str]] = ..., kimg: _Optional[float] = ..., batch: _Optional[int] = ..., r1_gamma: _Optional[float] = ..., g_learning_rate: _Optional[float] = ..., d_learning_rate: _Optional[float] = ..., augment: _Optional[_Union[TrainingOptions.Augment, str]] = ..., ada_target: _Optional[float] = ..., ada_kimg: _Optional[float] = ..., augment_p: _Optional[float] = ..., ema_kimg: _Optional[float] = ..., mirror: _Optional[bool] = ..., seed: _Optional[int] = ..., channel_base: _Optional[int] = ..., channel_max: _Optional[int] = ..., latent_size: _Optional[int] = ..., mapping_layers: _Optional[int] = ..., snapshot_kimg: _Optional[float] = ..., tick_kimg: _Optional[float] = ..., samples: _Optional[int] = ..., freeze_d: _Optional[int] = ..., ema_rampup: _Optional[float] = ..., path_length_weight: _Optional[float] = ..., path_length_interval: _Optional[int] = ..., style_mixing: _Optional[float] = ..., blur_sigma: _Optional[float] = ..., blur_fade_kimg: _Optional[float] = ..., r1_interval: _Optional[int] = ..., ada_interval: _Optional[int] = ..., augment_pipe: _Optional[str] = ..., num_layers: _Optional[int] = ..., margin_size: _Optional[int] = ..., mbstd_group: _Optional[int] = ..., conv_clamp: _Optional[float] = ..., adam_beta1: _Optional[float] = ..., adam_beta2: _Optional[float] = ..., adam_epsilon: _Optional[float] = ..., bad_updates_limit: _Optional[int] = ..., micro_batch: _Optional[int] = ..., patience: _Optional[int] = ..., score_samples: _Optional[int] = ..., keep_states: _Optional[int] = ..., keep_snapshots: _Optional[int] = ..., gamma_auto: _Optional[bool] = ..., gamma_trial_kimg: _Optional[float] = ..., mixed_precision: _Optional[bool] = ..., conditional: _Optional[bool] = ...) -> None: ...

class TrainingScore(_message.Message):
    __slots__ = ("metric", "value", "low", "high", "generated", "real", "held_out")
    METRIC_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    GENERATED_FIELD_NUMBER: _ClassVar[int]
    REAL_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    metric: str
    value: float
    low: float
    high: float
    generated: int
    real: int
    held_out: bool
    def __init__(self, metric: _Optional[str] = ..., value: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., generated: _Optional[int] = ..., real: _Optional[int] = ..., held_out: _Optional[bool] = ...) -> None: ...

class GammaTrial(_message.Message):
    __slots__ = ("r1_gamma", "kimg", "score", "chosen")
    R1_GAMMA_FIELD_NUMBER: _ClassVar[int]
    KIMG_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    r1_gamma: float
    kimg: float
    score: TrainingScore
    chosen: bool
    def __init__(self, r1_gamma: _Optional[float] = ..., kimg: _Optional[float] = ..., score: _Optional[_Union[TrainingScore, _Mapping]] = ..., chosen: _Optional[bool] = ...) -> None: ...

class TransferPart(_message.Message):
    __slots__ = ("network", "tensors", "copied", "adapted", "fresh", "parameters", "parameters_taken")
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    COPIED_FIELD_NUMBER: _ClassVar[int]
    ADAPTED_FIELD_NUMBER: _ClassVar[int]
    FRESH_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_TAKEN_FIELD_NUMBER: _ClassVar[int]
    network: str
    tensors: int
    copied: int
    adapted: _containers.RepeatedScalarFieldContainer[str]
    fresh: _containers.RepeatedScalarFieldContainer[str]
    parameters: int
    parameters_taken: int
    def __init__(self, network: _Optional[str] = ..., tensors: _Optional[int] = ..., copied: _Optional[int] = ..., adapted: _Optional[_Iterable[str]] = ..., fresh: _Optional[_Iterable[str]] = ..., parameters: _Optional[int] = ..., parameters_taken: _Optional[int] = ...) -> None: ...

class Alarm(_message.Message):
    __slots__ = ("kind", "message", "active", "first_kimg", "last_kimg")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Alarm.Kind]
        KIND_MODE_COLLAPSE: _ClassVar[Alarm.Kind]
        KIND_DISCRIMINATOR_OVERFITTING: _ClassVar[Alarm.Kind]
        KIND_RUNAWAY_P: _ClassVar[Alarm.Kind]
        KIND_NOT_FINITE: _ClassVar[Alarm.Kind]
    KIND_UNSPECIFIED: Alarm.Kind
    KIND_MODE_COLLAPSE: Alarm.Kind
    KIND_DISCRIMINATOR_OVERFITTING: Alarm.Kind
    KIND_RUNAWAY_P: Alarm.Kind
    KIND_NOT_FINITE: Alarm.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    FIRST_KIMG_FIELD_NUMBER: _ClassVar[int]
    LAST_KIMG_FIELD_NUMBER: _ClassVar[int]
    kind: Alarm.Kind
    message: str
    active: bool
    first_kimg: float
    last_kimg: float
    def __init__(self, kind: _Optional[_Union[Alarm.Kind, str]] = ..., message: _Optional[str] = ..., active: _Optional[bool] = ..., first_kimg: _Optional[float] = ..., last_kimg: _Optional[float] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("name", "create_time", "update_time", "state", "message", "dataset", "dataset_sha256", "start", "options", "resolution", "images_seen", "steps", "seconds", "g_parameter_change", "d_parameter_change", "attempts", "transfer", "alarms", "updates_left_out", "best_snapshot", "gamma_trials")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Run.State]
        STATE_QUEUED: _ClassVar[Run.State]
        STATE_RUNNING: _ClassVar[Run.State]
        STATE_SUCCEEDED: _ClassVar[Run.State]
        STATE_FAILED: _ClassVar[Run.State]
        STATE_STOPPED: _ClassVar[Run.State]
    STATE_UNSPECIFIED: Run.State
    STATE_QUEUED: Run.State
    STATE_RUNNING: Run.State
    STATE_SUCCEEDED: Run.State
    STATE_FAILED: Run.State
    STATE_STOPPED: Run.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    DATASET_SHA256_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_SEEN_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    G_PARAMETER_CHANGE_FIELD_NUMBER: _ClassVar[int]
    D_PARAMETER_CHANGE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    UPDATES_LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    BEST_SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    GAMMA_TRIALS_FIELD_NUMBER: _ClassVar[int]
    name: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    state: Run.State
    message: str
    dataset: str
    dataset_sha256: str
    start: str
    options: TrainingOptions
    resolution: int
    images_seen: int
    steps: int
    seconds: float
    g_parameter_change: float
    d_parameter_change: float
    attempts: int
    transfer: _containers.RepeatedCompositeFieldContainer[TransferPart]
    alarms: _containers.RepeatedCompositeFieldContainer[Alarm]
    updates_left_out: int
    best_snapshot: str
    gamma_trials: _containers.RepeatedCompositeFieldContainer[GammaTrial]
    def __init__(self, name: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state: _Optional[_Union[Run.State, str]] = ..., message: _Optional[str] = ..., dataset: _Optional[str] = ..., dataset_sha256: _Optional[str] = ..., start: _Optional[str] = ..., options: _Optional[_Union[TrainingOptions, _Mapping]] = ..., resolution: _Optional[int] = ..., images_seen: _Optional[int] = ..., steps: _Optional[int] = ..., seconds: _Optional[float] = ..., g_parameter_change: _Optional[float] = ..., d_parameter_change: _Optional[float] = ..., attempts: _Optional[int] = ..., transfer: _Optional[_Iterable[_Union[TransferPart, _Mapping]]] = ..., alarms: _Optional[_Iterable[_Union[Alarm, _Mapping]]] = ..., updates_left_out: _Optional[int] = ..., best_snapshot: _Optional[str] = ..., gamma_trials: _Optional[_Iterable[_Union[GammaTrial, _Mapping]]] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("name", "create_time", "kimg", "weights_sha256", "score")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    KIMG_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_SHA256_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    name: str
    create_time: _timestamp_pb2.Timestamp
    kimg: float
    weights_sha256: str
    score: TrainingScore
    def __init__(self, name: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kimg: _Optional[float] = ..., weights_sha256: _Optional[str] = ..., score: _Optional[_Union[TrainingScore, _Mapping]] = ...) -> None: ...

class Tick(_message.Message):
    __slots__ = ("kimg", "time", "seconds_per_kimg", "g_loss", "d_loss", "r1_penalty", "real_score", "fake_score", "real_sign", "augment_p", "g_gradient_norm", "d_gradient_norm", "peak_memory_bytes", "diversity", "overfitting", "updates_left_out", "alarms", "gpu_peak_memory_bytes", "gpu_free_memory_bytes", "gpu_total_memory_bytes", "path_penalty", "fake_sign")
    KIMG_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    SECONDS_PER_KIMG_FIELD_NUMBER: _ClassVar[int]
    G_LOSS_FIELD_NUMBER: _ClassVar[int]
    D_LOSS_FIELD_NUMBER: _ClassVar[int]
    R1_PENALTY_FIELD_NUMBER: _ClassVar[int]
    REAL_SCORE_FIELD_NUMBER: _ClassVar[int]
    FAKE_SCORE_FIELD_NUMBER: _ClassVar[int]
    REAL_SIGN_FIELD_NUMBER: _ClassVar[int]
    AUGMENT_P_FIELD_NUMBER: _ClassVar[int]
    G_GRADIENT_NORM_FIELD_NUMBER: _ClassVar[int]
    D_GRADIENT_NORM_FIELD_NUMBER: _ClassVar[int]
    PEAK_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    OVERFITTING_FIELD_NUMBER: _ClassVar[int]
    UPDATES_LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    GPU_PEAK_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    GPU_FREE_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    GPU_TOTAL_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    PATH_PENALTY_FIELD_NUMBER: _ClassVar[int]
    FAKE_SIGN_FIELD_NUMBER: _ClassVar[int]
    kimg: float
    time: _timestamp_pb2.Timestamp
    seconds_per_kimg: float
    g_loss: float
    d_loss: float
    r1_penalty: float
    real_score: float
    fake_score: float
    real_sign: float
    augment_p: float
    g_gradient_norm: float
    d_gradient_norm: float
    peak_memory_bytes: int
    diversity: float
    overfitting: float
    updates_left_out: int
    alarms: _containers.RepeatedScalarFieldContainer[Alarm.Kind]
    gpu_peak_memory_bytes: int
    gpu_free_memory_bytes: int
    gpu_total_memory_bytes: int
    path_penalty: float
    fake_sign: float
    def __init__(self, kimg: _Optional[float] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., seconds_per_kimg: _Optional[float] = ..., g_loss: _Optional[float] = ..., d_loss: _Optional[float] = ..., r1_penalty: _Optional[float] = ..., real_score: _Optional[float] = ..., fake_score: _Optional[float] = ..., real_sign: _Optional[float] = ..., augment_p: _Optional[float] = ..., g_gradient_norm: _Optional[float] = ..., d_gradient_norm: _Optional[float] = ..., peak_memory_bytes: _Optional[int] = ..., diversity: _Optional[float] = ..., overfitting: _Optional[float] = ..., updates_left_out: _Optional[int] = ..., alarms: _Optional[_Iterable[_Union[Alarm.Kind, str]]] = ..., gpu_peak_memory_bytes: _Optional[int] = ..., gpu_free_memory_bytes: _Optional[int] = ..., gpu_total_memory_bytes: _Optional[int] = ..., path_penalty: _Optional[float] = ..., fake_sign: _Optional[float] = ...) -> None: ...

class CreateRunRequest(_message.Message):
    __slots__ = ("run_id", "dataset", "start", "options", "request_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    dataset: str
    start: str
    options: TrainingOptions
    request_id: str
    def __init__(self, run_id: _Optional[str] = ..., dataset: _Optional[str] = ..., start: _Optional[str] = ..., options: _Optional[_Union[TrainingOptions, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class GetRunRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListRunsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRunsResponse(_message.Message):
    __slots__ = ("runs", "next_page_token")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[Run]
    next_page_token: str
    def __init__(self, runs: _Optional[_Iterable[_Union[Run, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class StopRunRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ResumeRunRequest(_message.Message):
    __slots__ = ("name", "kimg", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIMG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    kimg: float
    request_id: str
    def __init__(self, name: _Optional[str] = ..., kimg: _Optional[float] = ..., request_id: _Optional[str] = ...) -> None: ...

class ListSnapshotsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSnapshotsResponse(_message.Message):
    __slots__ = ("snapshots", "next_page_token")
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    snapshots: _containers.RepeatedCompositeFieldContainer[Snapshot]
    next_page_token: str
    def __init__(self, snapshots: _Optional[_Iterable[_Union[Snapshot, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListTicksRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTicksResponse(_message.Message):
    __slots__ = ("ticks", "next_page_token")
    TICKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ticks: _containers.RepeatedCompositeFieldContainer[Tick]
    next_page_token: str
    def __init__(self, ticks: _Optional[_Iterable[_Union[Tick, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteRunRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...
