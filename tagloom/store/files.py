"""The caller's own files, at the other end of `put_file` and `get_file`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO

from tagloom.errors import InvalidArgument, TagloomError
from tagloom.files import is_full, not_written, unfinished

__all__ = ["CHUNK", "receive", "source_chunks", "unusable"]

CHUNK = 1 << 20
"""bytes read or written at a time"""


def source_chunks(path: Path) -> Generator[bytes, None, None]:
    """The file's bytes, a chunk at a time. Raises InvalidArgument (FILE_UNUSABLE)."""
    try:
        source = path.open("rb")
    except OSError as error:
        raise unusable(path, error) from error
    with source:
        while True:
            try:
                chunk = source.read(CHUNK)
            except OSError as error:
                raise unusable(path, error) from error
            if not chunk:
                return
            yield chunk


@contextlib.contextmanager
def receive(path: Path) -> Iterator[BinaryIO]:
    """A stream whose bytes appear at `path` together, when the block ends well, or not at all.

    Raises ResourceExhausted (DISK_FULL), InvalidArgument (FILE_UNUSABLE).
    """
    try:
        with unfinished(path) as draft, draft.open("wb") as target:
            yield target
    except OSError as error:
        raise unusable(path, error) from error


def unusable(path: Path, error: OSError) -> TagloomError:
    """What an OSError on a caller's file means to the caller."""
    if is_full(error):
        return not_written(path, error)
    why = os.strerror(error.errno) if error.errno else str(error)
    return InvalidArgument(
        f"The file {path} cannot be used ({why}); check the path and its mode.",
        reason="FILE_UNUSABLE",
        path=path,
    )
