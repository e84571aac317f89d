"""Files that appear complete or not at all, and what is said of those that cannot be written."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

from tagloom.errors import PermissionDenied, ResourceExhausted, TagloomError

__all__ = ["is_full", "not_written", "unfinished"]


@contextlib.contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    """A new empty file beside `path` that takes its place when the block ends well.

    The block may write to it or replace it: what becomes `path` is on the disk before, and has the
    mode that the umask gives to new files. Otherwise nothing stays. Raises OSError.
    """
    draft = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}.part")
    try:
        with draft.open("xb") as created:
            mode = stat.S_IMODE(os.fstat(created.fileno()).st_mode)
        yield draft
        with draft.open("rb") as written:
            os.fchmod(written.fileno(), mode)  # what replaced it may be private, as mkstemp's are
            os.fsync(written.fileno())
        draft.replace(path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def is_full(error: OSError) -> bool:
    """Whether it means that there is no room: on the disk, in a quota, below a size limit."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def not_written(path: Path, error: OSError) -> TagloomError:
    """What an OSError on writing `path` means: a full disk (DISK_FULL) or PATH_NOT_WRITABLE."""
    why = os.strerror(error.errno) if error.errno else str(error)
    if error.errno == errno.EEXIST:
        why = "a file is where the folder should be"
    if is_full(error):
        return ResourceExhausted(
            f"There is no room to write {path} ({why}); free some space and try again.",
            reason="DISK_FULL",
            path=path,
        )
    return PermissionDenied(
        f"{path} cannot be written ({why}); choose another folder.",
        reason="PATH_NOT_WRITABLE",
        path=path,
    )
