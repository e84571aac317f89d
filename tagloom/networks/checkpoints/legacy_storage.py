"""torch's own file format from before its zip files, as far as a single storage needs it.

Five parts, one after the other: a pickled magic number, a pickled format version, a pickled
description of the machine, a pickled value whose persistent id names its storage, and a pickled
list of the storages' keys; then for each key the number of elements (8 bytes) and the elements.
A checkpoint's every tensor carries such a file.
"""

from __future__ import annotations

from typing import Any

from tagloom.networks.checkpoints.machine import Budget, Machine
from tagloom.networks.checkpoints.records import (
    CheckpointError,
    Global,
    StorageRecord,
    refused,
    shown,
)

__all__ = ["load_storage"]

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001

# class of the storage: safetensors' name of its elements, bytes of one
_STORAGES = {
    "DoubleStorage": ("F64", 8),
    "FloatStorage": ("F32", 4),
    "HalfStorage": ("F16", 2),
    "BFloat16Storage": ("BF16", 2),
    "LongStorage": ("I64", 8),
    "IntStorage": ("I32", 4),
    "ShortStorage": ("I16", 2),
    "CharStorage": ("I8", 1),
    "ByteStorage": ("U8", 1),
    "BoolStorage": ("BOOL", 1),
}


class _Promise:
    """A storage whose elements come later in the file."""

    def __init__(self, dtype: str, item_size: int, key: str, size: int) -> None:
        self.dtype, self.item_size, self.key, self.size = dtype, item_size, key, size


class _StorageBuilder:
    """The only names are those of storages; the only objects are the storages themselves."""

    def find(self, module: str, name: str) -> Global:
        if module != "torch" or name not in _STORAGES:
            raise refused(
                f"one of its tensors asks for {shown(Global(module, name))}, which is no kind of "
                "tensor memory"
            )
        return Global(module, name)

    def persistent(self, identifier: Any) -> _Promise:
        if type(identifier) is not tuple or len(identifier) not in (5, 6):
            raise _damaged("names its memory in an unknown way")
        kind, storage, key, _location, size, *view = identifier
        sound = (
            kind == "storage"
            and isinstance(storage, Global)
            and isinstance(key, str)
            and type(size) is int
            and 0 <= size < 1 << 40
            and view in ([], [None])
        )
        if not sound:
            raise _damaged("names its memory in an unknown way")
        return _Promise(*_STORAGES[storage.name], key, size)

    def call(self, function: Global, arguments: tuple[Any, ...]) -> Any:
        raise refused(f"one of its tensors calls {shown(function)}")

    def new(self, cls: Global, arguments: tuple[Any, ...]) -> Any:
        raise refused(f"one of its tensors makes a {shown(cls)}")

    def build(self, value: Any, state: Any) -> Any:
        raise refused(f"one of its tensors changes {shown(value)}")


def _damaged(what: str) -> CheckpointError:
    return CheckpointError("CHECKPOINT_DAMAGED", f"one of its tensors {what}")


def load_storage(data: memoryview, budget: Budget) -> StorageRecord:
    """The storage in such a file; its elements stay where they are. Raises CheckpointError."""
    builder = _StorageBuilder()
    values = []
    at = 0
    for _ in range(5):
        value, at = Machine(data, builder, budget, at).run()
        values.append(value)
    magic, version, machine, promise, keys = values
    if magic != _MAGIC or version != _VERSION or type(machine) is not dict:
        raise _damaged("is not in torch's format 1001")
    if machine.get("little_endian") is not True:
        raise _damaged("was written by a big-endian machine, which is not supported")
    if not isinstance(promise, _Promise) or keys != [promise.key]:
        raise _damaged("does not hold exactly one piece of memory")
    if len(data) - at < 8:
        raise _damaged("is cut off")
    if int.from_bytes(data[at : at + 8], "little") != promise.size:
        raise _damaged("declares two different sizes")
    at += 8
    length = promise.size * promise.item_size
    if length != len(data) - at:
        raise _damaged(f"declares {length:,} bytes where {len(data) - at:,} are there")
    return StorageRecord(promise.dtype, promise.item_size, promise.size, data[at:])
