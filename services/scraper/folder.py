"""A folder of photos as a source: every file in it is met once, and accounted for.

Nothing outside the folder is read: links that lead out of it are refused, and a file is opened
without following a link that took its place meanwhile.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from services.scraper.intake import MAX_IMAGE_BYTES, Film, Photo, Refusal, judge
from services.scraper.signatures import HEAD_BYTES

__all__ = ["Entry", "entries", "read"]


@dataclass(frozen=True, slots=True)
class Entry:
    """Something found in the folder."""

    source: str
    """path inside the folder, with `/`; bytes that are no UTF-8 are written as `\\xNN`"""
    path: Path = field(repr=False)
    refusal: Refusal | None = None
    """why it will not be read, when that is known without opening it"""


def entries(root: Path, excluded: Path | None = None) -> list[Entry]:
    """Everything in `root`, which is a real path, but for folders themselves; by path.

    `excluded` is a folder that is not entered (the store, when it lies in the folder it reads).
    """
    found = list(_walk(root, root, excluded))
    found.sort(key=lambda entry: entry.source)
    return found


def time_of(entry: Entry) -> datetime | None:
    """When the file was last changed, as `read` would tell; None where it would not."""
    if entry.refusal is not None:
        return entry.refusal.time
    try:
        return datetime.fromtimestamp(int(entry.path.stat().st_mtime), UTC)
    except (OSError, OverflowError, ValueError):
        return None


def read(entry: Entry) -> Photo | Film | Refusal:
    """The file's bytes, if they begin like a photo; else why it is not taken. Never raises."""
    if entry.refusal is not None:
        return entry.refusal
    try:
        # A pipe that appears here would block without O_NONBLOCK.
        descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return _NOT_A_FILE
            time = datetime.fromtimestamp(int(status.st_mtime), UTC)
            # One byte more than allowed: the file may have grown since its size was told.
            too_large = status.st_size > MAX_IMAGE_BYTES
            data = file.read(HEAD_BYTES if too_large else MAX_IMAGE_BYTES + 1)
            size = max(status.st_size, len(data))
    except (OSError, OverflowError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        return Refusal(
            "refused", "UNREADABLE", f"The file cannot be read ({why}); check its permissions."
        )
    return judge(data, size=size, time=time, name=entry.source)


_NOT_A_FILE = Refusal(
    "refused", "NOT_A_FILE", "It is a device, a pipe or a socket; only files are read."
)


def _walk(folder: Path, root: Path, excluded: Path | None) -> Iterator[Entry]:
    try:
        with os.scandir(folder) as listing:
            children = list(listing)
    except OSError as error:
        yield Entry(
            _name(folder, root) + "/",
            folder,
            Refusal(
                "refused",
                "UNREADABLE",
                f"The folder cannot be read ({error.strerror}); check its permissions.",
            ),
        )
        return
    for child in children:
        path = Path(child.path)
        source = _name(path, root)
        if child.is_symlink():
            yield _link(path, source, root)
        elif child.is_dir(follow_symlinks=False):
            if path == excluded:
                yield Entry(
                    source + "/",
                    path,
                    Refusal("skipped", "OBJECT_STORE", "Tagloom's own store lies here."),
                )
            else:
                yield from _walk(path, root, excluded)
        elif child.is_file(follow_symlinks=False):
            yield Entry(source, path)
        else:
            yield Entry(source, path, _NOT_A_FILE)


def _link(path: Path, source: str, root: Path) -> Entry:
    """An entry for a symbolic link: read where it leads, if that is a file in the folder."""
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        detail = "The link leads nowhere; remove it or restore what it pointed to."
        return Entry(source, path, Refusal("refused", "BROKEN_LINK", detail))
    if not target.is_relative_to(root):
        detail = "The link leads out of the folder; copy the file into it if it belongs there."
        return Entry(source, path, Refusal("refused", "SYMLINK_OUTSIDE", detail))
    if target.is_dir():
        detail = "The link leads to a folder inside this one, whose files are met there."
        return Entry(source, path, Refusal("skipped", "SYMLINK_TO_FOLDER", detail))
    return Entry(source, target) if target.is_file() else Entry(source, path, _NOT_A_FILE)


def _name(path: Path, root: Path) -> str:
    relative = path.relative_to(root).as_posix()
    return os.fsencode(relative).decode("utf-8", "backslashreplace")
