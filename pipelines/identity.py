"""Names that follow from inputs, so that a step asked for twice finds what it made the first time.

A resource's id is `<experiment>-<hash of the step's inputs>`, and the request id of the call that
makes it is a UUIDv5 of the same inputs: a second run of an experiment, or a second attempt of a
step, gives the services the same names and the same request ids (AIP-155), and they answer with
what is there. Changed inputs give other names: nothing is ever overwritten.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "file_fingerprint",
    "folder_fingerprint",
    "inputs_sha256",
    "request_id",
    "resource_id",
]

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "tagloom/pipelines/requests")
_ID_DIGITS = 10
"""hex digits of a hash in an id: 2^40, far more than one experiment has steps"""


def inputs_sha256(inputs: Mapping[str, Any]) -> str:
    """SHA-256 of JSON-like inputs, in hex; the order of keys does not matter."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def resource_id(experiment: str, inputs: Mapping[str, Any]) -> str:
    """`cats-0123456789`: the id of what a step makes of `inputs` within an experiment."""
    return f"{experiment}-{inputs_sha256(inputs)[:_ID_DIGITS]}"


def request_id(method: str, resource: str, attempt: int = 0) -> str:
    """The UUID that makes a call idempotent; `attempt` grows after an attempt that failed."""
    return str(uuid.uuid5(_NAMESPACE, f"{method}/{resource}/{attempt}"))


def folder_fingerprint(folder: Path) -> str:
    """SHA-256 of a folder's listing: relative paths, sizes and modification times of all files.

    Listing only, like make and rsync: thousands of photos take milliseconds. Empty when the folder
    cannot be listed here (it may lie on the server's machine only); then its path stands for it.
    """
    if not folder.is_dir():
        return ""
    digest = hashlib.sha256()
    for path in sorted(_files(folder)):
        info = path.lstat()
        line = f"{path.relative_to(folder)}\0{info.st_size}\0{info.st_mtime_ns}\n"
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


def file_fingerprint(file: Path) -> str:
    """As `folder_fingerprint`, of one file; empty when it cannot be seen here."""
    try:
        info = file.stat()
    except OSError:
        return ""
    return hashlib.sha256(f"{info.st_size}\0{info.st_mtime_ns}\n".encode()).hexdigest()


def _files(folder: Path) -> list[Path]:
    return [Path(root, name) for root, _, names in os.walk(folder) for name in names]
