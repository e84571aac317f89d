"""Files that commands read and write: complete or not at all, never over something else by
accident, and never more of one than can be meant."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from tagloom.errors import AlreadyExists, InvalidArgument
from tagloom.files import not_written, unfinished

__all__ = ["GivenPath", "read_text", "write_new"]


class GivenPath(click.Path):
    """A path that says something: empty (an unset variable of the shell's), it would mean the
    working folder, and all that lies there would be taken or written over."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not os.fspath(value):
            self.fail("it is empty; write a path.", param, ctx)
        return super().convert(value, param, ctx)


def read_text(path: Path, most_bytes: int, what: str, advice: str, reason: str) -> str:
    """A small file of UTF-8 text, with a byte order mark or without.

    Raises InvalidArgument of this `reason`: `what` cannot be read, and `advice` on what to do.
    """
    try:
        with path.open("rb") as file:  # not its size, which a device or a pipe does not tell
            data = file.read(most_bytes + 1)
        if len(data) <= most_bytes:
            return data.decode("utf-8-sig")
        why = f"it is larger than {most_bytes // 1024:,} KiB"
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
    except UnicodeDecodeError:
        why = "it is no UTF-8 text"
    except ValueError:  # a NUL in the path
        why = "no file has such a name"
    raise InvalidArgument(f"{what} cannot be read ({why}); {advice}.", reason=reason, file=path)


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
                f"{path} exists and differs; choose another place, or say --overwrite.",
                reason="FILE_EXISTS",
                path=path,
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished(path) as draft:
            draft.write_bytes(data)
    except OSError as error:
        raise not_written(path, error) from error
