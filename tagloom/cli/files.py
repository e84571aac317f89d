"""Files that commands write: complete or not at all, and never over something else by accident."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tagloom.errors import AlreadyExists, PermissionDenied, ResourceExhausted

__all__ = ["write_new"]


def write_new(path: Path, data: bytes, *, overwrite: bool = False) -> None:
    """Writes `data` to `path`, making its folder where missing.

    The same bytes may be there already. Raises AlreadyExists (FILE_EXISTS) when others are, unless
    `overwrite`; ResourceExhausted (DISK_FULL); PermissionDenied (PATH_NOT_WRITABLE).
    """
    try:
        if not overwrite and path.exists():
            if path.read_bytes() == data:
                return
            raise AlreadyExists(
                f"{path} exists and differs; choose another folder, or say --overwrite.",
                reason="FILE_EXISTS",
                path=path,
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(draft, 0o666 & ~_umask())
            os.replace(draft, path)
        except BaseException:
            os.unlink(draft)
            raise
    except OSError as error:
        if error.errno in (28, 122):  # ENOSPC, EDQUOT
            raise ResourceExhausted(
                f"The disk of {path.parent} is full; free some space and run it again.",
                reason="DISK_FULL",
                path=path,
            ) from error
        raise PermissionDenied(
            f"{path} cannot be written ({error.strerror}); choose another folder.",
            reason="PATH_NOT_WRITABLE",
            path=path,
        ) from error


def _umask() -> int:
    """The process's umask; there is no call that only reads it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
