"""The confined process: reads one checkpoint after the other and answers each with a line of JSON.

It inherits two open files: the checkpoint (read) and the place for the tensors (write), and speaks
over its standard input and output. Started by `reader`, in isolated mode and with an empty
environment. Everything that it will ever import is imported before it is confined.
"""

from __future__ import annotations

import codecs
import mmap
import os
import sys
from typing import Any

import numpy as np

from tagloom.networks.checkpoints.confinement import ConfinementError, confine
from tagloom.networks.checkpoints.contents import (
    network_document,
    networks_of,
    tensors_of,
    to_line,
)
from tagloom.networks.checkpoints.known import Known
from tagloom.networks.checkpoints.legacy_storage import load_storage
from tagloom.networks.checkpoints.machine import Budget, Machine
from tagloom.networks.checkpoints.records import (
    LIMITS,
    CheckpointError,
    TensorRecord,
    refused,
)
from tagloom.networks.checkpoints.safetensors_writer import write_tensors

__all__ = ["main", "read_checkpoint"]

_SLACK = 1 << 20
"""bytes of tensors beyond the file's own size: buffers that share memory are written apart"""


def main(arguments: list[str]) -> None:
    """arguments: both files' descriptors, bytes of memory, seconds of CPU time, bytes to write."""
    source, target, memory, cpu_seconds, written = map(int, arguments)
    _import_what_imports_later()
    try:
        confine(memory=memory, cpu_seconds=cpu_seconds, written=written)
    except ConfinementError as error:
        _answer({"error": {"reason": "CHECKPOINT_NOT_CONFINED", "sentence": str(error)}})
        return
    _answer({"ready": True})
    while os.read(0, 1):
        _answer(_attempt(source, target))


def _import_what_imports_later() -> None:
    """Codecs are modules, and NumPy's scalars of bytes import on their first use."""
    for codec in ("latin-1", "raw-unicode-escape", "utf-8", "ascii"):
        codecs.lookup(codec)
    np.ascontiguousarray(np.frombuffer(b"\0" * 8, "V4")[::-1]).tobytes()


def _attempt(source: int, target: int) -> dict[str, Any]:
    try:
        os.ftruncate(target, 0)
        os.lseek(target, 0, os.SEEK_SET)
        size = os.lseek(source, 0, os.SEEK_END)
        if size == 0:
            raise CheckpointError("CHECKPOINT_DAMAGED", "it is empty")
        # Unmapped when the last value that points into it is gone.
        mapped = mmap.mmap(source, size, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
        return {"networks": read_checkpoint(memoryview(mapped), target)}
    except CheckpointError as error:
        return {"error": {"reason": error.reason, "sentence": error.sentence}}
    except (MemoryError, RecursionError):
        return {
            "error": {
                "reason": "CHECKPOINT_TOO_LARGE",
                "sentence": "it needs more memory than a checkpoint of its size",
            }
        }
    except OSError as error:
        return {
            "error": {
                "reason": "CHECKPOINT_NOT_READ",
                "sentence": f"the reading failed ({os.strerror(error.errno or 0)})",
            }
        }


def read_checkpoint(data: memoryview, target: int) -> dict[str, Any]:
    """The networks of a checkpoint as JSON-ready values; their tensors go to `target`.

    Raises CheckpointError.
    """
    _check_beginning(data)
    budget = Budget(LIMITS.operations)
    builder = Known(lambda octets: load_storage(octets, budget))
    top, _end = Machine(data, builder, budget).run()
    documents: dict[str, Any] = {}
    tensors: dict[str, TensorRecord] = {}
    for name, record in networks_of(top).items():
        found, attributes = tensors_of(record)
        documents[name] = network_document(record, attributes)
        tensors |= {f"{name}.{key}": tensor for key, tensor in found.items()}
    write_tensors(target, tensors, most=len(data) + _SLACK)
    return documents


def _check_beginning(data: memoryview) -> None:
    """A clear word for files that are something else."""
    head = bytes(data[:8])
    if head.startswith(b"PK\x03\x04"):
        raise refused("it is a zip file; official checkpoints are plain pickles")
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf")):
        raise refused("it is a compressed file; unpack it first")
    if head[:1] not in (b"\x80", b"(", b"}", b"c", b"]"):
        raise refused("it is no pickle, so it is no official checkpoint")


def _answer(document: dict[str, Any]) -> None:
    line = memoryview(to_line(document))
    while line:
        line = line[os.write(1, line) :]


if __name__ == "__main__":
    main(sys.argv[1:])
