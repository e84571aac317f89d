"""Files that commands write: complete or not at all, and never over something else by accident."""

from __future__ import annotations

from pathlib import Path

from tagloom.errors import AlreadyExists
from tagloom.files import not_written, unfinished

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
        with unfinished(path) as draft:
            draft.write_bytes(data)
    except OSError as error:
        raise not_written(path, error) from error
