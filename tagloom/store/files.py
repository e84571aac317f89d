"""The caller's own files, at the other end of `put_file` and `get_file`."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO

from tagloom.errors import InvalidArgument, ResourceExhausted, TagloomError

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
    temporary = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.part")
    try:
        with temporary.open("xb") as target:
            yield target
            target.flush()
            os.fsync(target.fileno())
        temporary.replace(path)
    except TagloomError:
        raise
    except OSError as error:
        raise unusable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def unusable(path: Path, error: OSError) -> TagloomError:
    """What an OSError on a caller's file means to the caller."""
    why = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return ResourceExhausted(
            f"There is no room to write {path} ({why}); free some space and try again.",
            reason="DISK_FULL",
            path=path,
        )
    return InvalidArgument(
        f"The file {path} cannot be used ({why}); check the path and its mode.",
        reason="FILE_UNUSABLE",
        path=path,
    )
