"""Tensor records into a safetensors file, without torch and without a copy of what lies in order.

Format: 8 bytes with the length of the header, the header (JSON: type, shape and place of each
tensor), the tensors' bytes.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping

import numpy as np

from tagloom.networks.checkpoints.records import (
    LIMITS,
    CheckpointError,
    Limits,
    TensorRecord,
    refused,
)

__all__ = ["write_tensors"]


def write_tensors(
    file: int, tensors: Mapping[str, TensorRecord], most: int, limits: Limits = LIMITS
) -> int:
    """Writes `tensors` to a file descriptor, at most `most` bytes of them; returns their bytes.

    Raises CheckpointError when a tensor reaches beyond its storage, shows a place twice, or all
    are larger than `most`: a small file must not become a large one.
    """
    header: dict[str, dict[str, object]] = {}
    at = 0
    for name, tensor in tensors.items():
        length = _checked_length(name, tensor, limits)
        header[name] = {
            "dtype": tensor.storage.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [at, at + length],
        }
        at += length
        if at > most:
            raise CheckpointError(
                "CHECKPOINT_TOO_LARGE", "its tensors are larger than the file that holds them"
            )
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    _write(file, memoryview(len(text).to_bytes(8, "little") + text))
    for tensor in tensors.values():
        _write(file, _bytes_in_order(tensor))
    return at


def _checked_length(name: str, tensor: TensorRecord, limits: Limits) -> int:
    """Bytes of the tensor when it is sound."""
    if len(tensor.shape) > limits.dimensions:
        raise refused(f"its tensor {name} has {len(tensor.shape)} dimensions")
    count = math.prod(tensor.shape)
    if count == 0:
        return 0
    last = tensor.offset + sum(
        (size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    if last >= tensor.storage.size:
        raise CheckpointError(
            "CHECKPOINT_DAMAGED", f"its tensor {name} reaches beyond the memory that it has"
        )
    pairs = zip(tensor.shape, tensor.strides, strict=True)
    repeats = any(size > 1 and stride == 0 for size, stride in pairs)
    if repeats or count > tensor.storage.size:
        raise refused(f"its tensor {name} repeats its memory, as no weights do")
    return count * tensor.storage.item_size


def _bytes_in_order(tensor: TensorRecord) -> memoryview:
    """The elements in row-major order; a copy only when they lie in another one."""
    storage, item = tensor.storage, tensor.storage.item_size
    count = math.prod(tensor.shape)
    if count == 0:
        return memoryview(b"")
    expected, row_major = 1, True
    for size, stride in zip(reversed(tensor.shape), reversed(tensor.strides), strict=True):
        row_major = row_major and (size == 1 or stride == expected)
        expected *= size
    if row_major:
        return storage.data[tensor.offset * item : (tensor.offset + count) * item]
    flat = np.frombuffer(storage.data, dtype=f"V{item}")[tensor.offset :]
    strides = tuple(stride * item for stride in tensor.strides)
    view = np.lib.stride_tricks.as_strided(flat, tensor.shape, strides, writeable=False)
    return memoryview(np.ascontiguousarray(view).tobytes())


def _write(file: int, data: memoryview) -> None:
    while data:
        data = data[os.write(file, data[: 1 << 24]) :]
