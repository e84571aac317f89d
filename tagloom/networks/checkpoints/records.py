"""What a checkpoint's values become here: inert records. None has a method that does anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = [
    "LIMITS",
    "ArrayRecord",
    "CheckpointError",
    "DtypeRecord",
    "Global",
    "Limits",
    "ModuleRecord",
    "OpaqueRecord",
    "StorageRecord",
    "TensorRecord",
    "refused",
    "shown",
]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may ask for. Official checkpoints of 1024 pixels stay below a tenth of each."""

    operations: int = 2_000_000
    """opcodes, those of nested pickles included"""
    memo: int = 1_000_000
    """values remembered for later"""
    stack: int = 200_000
    """values waiting at once"""
    text: int = 512 << 20
    """bytes of one text: protocols 0 to 2 write a tensor's bytes as text"""
    integer: int = 16
    """bytes of one integer"""
    depth: int = 32
    """modules within modules, settings within settings"""
    modules: int = 4096
    tensors: int = 65_536
    dimensions: int = 8
    settings: int = 4096
    """values among a network's arguments"""


LIMITS = Limits()


class CheckpointError(Exception):
    """Why a file is not read: a reason (see `reader`) and a sentence without its full stop."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence


def refused(sentence: str) -> CheckpointError:
    """The file asks for something that no checkpoint needs."""
    return CheckpointError("CHECKPOINT_REFUSED", sentence)


def shown(value: object) -> str:
    """A value of the file, short enough for an error; containers by their type alone."""
    if isinstance(value, str):
        return repr(value[:80])
    if isinstance(value, Global):
        return f"{value.module[:80]}.{value.name[:80]}"
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if value.bit_length() <= 128 else "a huge integer"
    return f"a {type(value).__name__}"


@dataclass(frozen=True, slots=True)
class Global:
    """A name that the file mentions: never looked up, only compared."""

    module: str
    name: str


@dataclass(frozen=True, slots=True)
class StorageRecord:
    """The memory of tensors: `size` elements of `dtype` (as safetensors calls it)."""

    dtype: str
    item_size: int
    size: int
    data: memoryview


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """A view of a storage; offset and strides count elements."""

    storage: StorageRecord
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(slots=True)
class DtypeRecord:
    """A NumPy element type, such as f8."""

    code: str
    order: str = "<"


@dataclass(slots=True)
class ArrayRecord:
    """A NumPy array. Only plain attributes are arrays, and none of them is needed."""

    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ModuleRecord:
    """A network or a part of one: the name of its class and its attributes."""

    class_name: str
    state: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OpaqueRecord:
    """A known value that nothing here needs, such as a device."""

    what: str
