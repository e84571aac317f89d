import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ImageFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IMAGE_FORMAT_UNSPECIFIED: _ClassVar[ImageFormat]
    IMAGE_FORMAT_PNG: _ClassVar[ImageFormat]
    IMAGE_FORMAT_NPY: _ClassVar[ImageFormat]

class NoiseMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NOISE_MODE_UNSPECIFIED: _ClassVar[NoiseMode]
    NOISE_MODE_CONST: _ClassVar[NoiseMode]
    NOISE_MODE_NONE: _ClassVar[NoiseMode]
    NOISE_MODE_RANDOM: _ClassVar[NoiseMode]
IMAGE_FORMAT_UNSPECIFIED: ImageFormat
IMAGE_FORMAT_PNG: ImageFormat
IMAGE_FORMAT_NPY: ImageFormat
NOISE_MODE_UNSPECIFIED: NoiseMode
NOISE_MODE_CONST: NoiseMode
NOISE_MODE_NONE: NoiseMode
NOISE_MODE_RANDOM: NoiseMode

class Rendering(_message.Message):
    __slots__ = ("truncation_cutoff", "class_label", "noise_mode", "translate_x", "translate_y", "rotate_degrees")
    TRUNCATION_CUTOFF_FIELD_NUMBER: _ClassVar[int]
    CLASS_LABEL_FIELD_NUMBER: _ClassVar[int]
    NOISE_MODE_FIELD_NUMBER: _ClassVar[int]
    TRANSLATE_X_FIELD_NUMBER: _ClassVar[int]
    TRANSLATE_Y_FIELD_NUMBER: _ClassVar[int]
    ROTATE_DEGREES_FIELD_NUMBER: _ClassVar[int]
    truncation_cutoff: int
    class_label: int
    noise_mode: NoiseMode
    translate_x: float
    translate_y: float
    rotate_degrees: float
    def __init__(self, truncation_cutoff: _Optional[int] = ..., class_label: _Optional[int] = ..., noise_mode: _Optional[_Union[NoiseMode, str]] = ..., translate_x: _Optional[float] = ..., translate_y: _Optional[float] = ..., rotate_degrees: _Optional[float] = ...) -> None: ...

class StyleMixing(_message.Message):
    __slots__ = ("seeds", "layers")
    SEEDS_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    seeds: _containers.RepeatedScalarFieldContainer[int]
    layers: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, seeds: _Optional[_Iterable[int]] = ..., layers: _Optional[_Iterable[int]] = ...) -> None: ...

class Network(_message.Message):
    __slots__ = ("name", "create_time", "architecture", "resolution", "kimg", "origin", "license", "weights_sha256", "has_discriminator")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    KIMG_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_SHA256_FIELD_NUMBER: _ClassVar[int]
    HAS_DISCRIMINATOR_FIELD_NUMBER: _ClassVar[int]
    name: str
    create_time: _timestamp_pb2.Timestamp
    architecture: str
    resolution: int
    kimg: float
    origin: str
    license: str
    weights_sha256: str
    has_discriminator: bool
    def __init__(self, name: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., architecture: _Optional[str] = ..., resolution: _Optional[int] = ..., kimg: _Optional[float] = ..., origin: _Optional[str] = ..., license: _Optional[str] = ..., weights_sha256: _Optional[str] = ..., has_discriminator: _Optional[bool] = ...) -> None: ...

class GenerateImagesRequest(_message.Message):
    __slots__ = ("network", "seeds", "truncation_psi", "format", "rendering", "mixing")
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    SEEDS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_PSI_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    RENDERING_FIELD_NUMBER: _ClassVar[int]
    MIXING_FIELD_NUMBER: _ClassVar[int]
    network: str
    seeds: _containers.RepeatedScalarFieldContainer[int]
    truncation_psi: float
    format: ImageFormat
    rendering: Rendering
    mixing: StyleMixing
    def __init__(self, network: _Optional[str] = ..., seeds: _Optional[_Iterable[int]] = ..., truncation_psi: _Optional[float] = ..., format: _Optional[_Union[ImageFormat, str]] = ..., rendering: _Optional[_Union[Rendering, _Mapping]] = ..., mixing: _Optional[_Union[StyleMixing, _Mapping]] = ...) -> None: ...

class GenerateImagesResponse(_message.Message):
    __slots__ = ("seed", "image", "mixed_seed")
    SEED_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    MIXED_SEED_FIELD_NUMBER: _ClassVar[int]
    seed: int
    image: bytes
    mixed_seed: int
    def __init__(self, seed: _Optional[int] = ..., image: _Optional[bytes] = ..., mixed_seed: _Optional[int] = ...) -> None: ...

class InterpolateImagesRequest(_message.Message):
    __slots__ = ("network", "seeds", "frames_per_seed", "truncation_psi", "format", "rendering")
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    SEEDS_FIELD_NUMBER: _ClassVar[int]
    FRAMES_PER_SEED_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_PSI_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    RENDERING_FIELD_NUMBER: _ClassVar[int]
    network: str
    seeds: _containers.RepeatedScalarFieldContainer[int]
    frames_per_seed: int
    truncation_psi: float
    format: ImageFormat
    rendering: Rendering
    def __init__(self, network: _Optional[str] = ..., seeds: _Optional[_Iterable[int]] = ..., frames_per_seed: _Optional[int] = ..., truncation_psi: _Optional[float] = ..., format: _Optional[_Union[ImageFormat, str]] = ..., rendering: _Optional[_Union[Rendering, _Mapping]] = ...) -> None: ...

class InterpolateImagesResponse(_message.Message):
    __slots__ = ("frame", "image")
    FRAME_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    frame: int
    image: bytes
    def __init__(self, frame: _Optional[int] = ..., image: _Optional[bytes] = ...) -> None: ...

class GetNetworkRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListNetworksRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListNetworksResponse(_message.Message):
    __slots__ = ("networks", "next_page_token")
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    networks: _containers.RepeatedCompositeFieldContainer[Network]
    next_page_token: str
    def __init__(self, networks: _Optional[_Iterable[_Union[Network, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
