"""A zip file of photos as a source: its entries are read, never written anywhere by their names.

What a zip claims is not believed: entries that lie upon one another, that promise more than fits,
or that swell when they are unpacked are refused before or while they are read.
"""

from __future__ import annotations

import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from services.scraper.intake import MAX_IMAGE_BYTES, Film, Photo, Refusal, judge, too_large
from services.scraper.signatures import HEAD_BYTES
from tagloom.errors import InvalidArgument

__all__ = ["ZipPhotos"]

_MAX_ENTRIES = 1_000_000
_MAX_RATIO = 200
"""unpacked to packed; photos are hardly smaller in a zip, and DEFLATE itself ends at 1,032"""
_SMALL_BYTES = 2**20
_ENCRYPTED = 0x1
_BROKEN = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, struct.error, zlib.error, lzma.LZMAError),
    *(EOFError, OSError, NotImplementedError, RuntimeError, ValueError, OverflowError),
)
"""what the zipfile module raises for files that are damaged or made up"""


class ZipPhotos:
    """An open zip. Use as a context manager through `open`."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.entries = [i for i in archive.infolist() if not i.filename.endswith("/")]
        """its files, in its own order"""

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[ZipPhotos]:
        """Raises InvalidArgument (ZIP_INVALID)."""
        try:
            archive = zipfile.ZipFile(path)
        except _BROKEN as error:
            raise _invalid(path, f"cannot be read ({error or type(error).__name__})") from error
        with archive:
            infos = archive.infolist()
            if len(infos) > _MAX_ENTRIES:
                raise _invalid(path, f"has {len(infos):,} entries (at most {_MAX_ENTRIES:,})")
            # Honest entries lie side by side; bombs are many entries over the same bytes.
            if sum(info.compress_size for info in infos) > path.stat().st_size:
                raise _invalid(path, "has entries that lie upon one another")
            yield cls(archive)

    def time_of(self, info: zipfile.ZipInfo) -> datetime | None:
        """As the item will have it."""
        return None if _refusal(info) is not None else _time(info)

    def read(self, info: zipfile.ZipInfo) -> Photo | Film | Refusal:
        """An entry's bytes, if they begin like a photo; else why it is not taken. Never raises."""
        if (refusal := _refusal(info)) is not None:
            return refusal
        time = _time(info)
        try:
            with self._archive.open(info) as file:
                large = info.file_size > MAX_IMAGE_BYTES
                data = file.read(HEAD_BYTES if large else MAX_IMAGE_BYTES + 1)
        except _BROKEN as error:
            detail = f"The entry is damaged ({error or type(error).__name__}); make the zip again."
            return Refusal("refused", "UNREADABLE", detail, info.file_size, time)
        if len(data) > MAX_IMAGE_BYTES:
            return too_large(len(data), time)
        return judge(data, size=max(info.file_size, len(data)), time=time, name=info.filename)


def _refusal(info: zipfile.ZipInfo) -> Refusal | None:
    path = PurePosixPath(info.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in info.filename or "\0" in info.filename:
        detail = "Its name leads out of the zip; make the zip again with plain names."
        return Refusal("refused", "NAME_UNSAFE", detail)
    if not info.filename:
        detail = "It has no name; make the zip again with plain names."
        return Refusal("refused", "NAME_UNSAFE", detail)
    if stat.S_ISLNK(info.external_attr >> 16):
        return Refusal("refused", "SYMLINK", "It is a symbolic link; put the file itself there.")
    if info.flag_bits & _ENCRYPTED:
        return Refusal("refused", "ENCRYPTED", "It is encrypted; make the zip without a password.")
    if info.file_size > max(_SMALL_BYTES, _MAX_RATIO * info.compress_size):
        detail = f"{info.compress_size:,} bytes would become {info.file_size:,}: no photo does."
        return Refusal("refused", "ZIP_BOMB", detail, info.file_size)
    return None


def _time(info: zipfile.ZipInfo) -> datetime | None:
    """A zip knows local times without a zone; they are taken as UTC."""
    try:
        return datetime(*info.date_time, tzinfo=UTC)
    except ValueError:
        return None


def _invalid(path: Path, fault: str) -> InvalidArgument:
    return InvalidArgument(
        f"{path.name} is not a zip file to collect from: it {fault}; make it again.",
        reason="ZIP_INVALID",
        path=path,
    )
