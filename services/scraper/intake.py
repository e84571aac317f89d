"""What is taken into a collection, and why the rest is not: one judgement for every source."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from services.scraper.signatures import HEAD_BYTES, PHOTO_FORMATS, identify

__all__ = [
    "FORGOTTEN",
    "MAX_IMAGE_BYTES",
    "Film",
    "Frames",
    "Kept",
    "Photo",
    "Refusal",
    "judge",
    "too_large",
]

MAX_IMAGE_BYTES = 64 * 2**20
"""A file above this is refused unread."""

_IMAGE_SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp"),
    *(".gif", ".tif", ".tiff", ".bmp", ".heic", ".heif", ".avif", ".jxl", ".jp2"),
}


@dataclass(frozen=True, slots=True)
class Photo:
    """Bytes that begin like a photo. Whether they decode is for the filter to judge."""

    data: bytes
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """A photo whose bytes lie in the store."""

    sha256: str
    size: int
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something is not taken."""

    state: Literal["skipped", "refused"]
    """skipped: it is no photo, nor says it is; refused: it should be one, and cannot be taken"""
    reason: str
    detail: str
    """one sentence"""
    size: int = 0
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Film:
    """The bytes of a video, of which frames may be taken."""

    data: bytes
    detail: str
    """what it is, a sentence"""
    time: datetime | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames of a video: where each lies, in seconds, and what became of it."""

    kept: tuple[tuple[float, Kept | Refusal], ...]


FORGOTTEN = Refusal(
    "refused", "FORGOTTEN", "It was forgotten on request (`tagloom forget`), and is not taken."
)
"""The one refusal of everything that has a tombstone."""


def judge(data: bytes, *, size: int, time: datetime | None, name: str) -> Photo | Film | Refusal:
    """A photo or a video if the bytes begin like one, else why not.

    size: bytes of the whole file; of one above `MAX_IMAGE_BYTES`, `data` need only be the head.
    name: what it is called; an image's suffix makes a broken promise a refusal (NOT_AN_IMAGE).
    """
    signature = identify(data[:HEAD_BYTES])
    photos = f"{', '.join(PHOTO_FORMATS[:-1])} or {PHOTO_FORMATS[-1]}"
    match signature.kind:
        case "photo":
            return Photo(data, time) if size <= MAX_IMAGE_BYTES else too_large(size, time)
        case "picture":
            detail = f"It is a {signature.format} image; convert it to {photos}."
            return Refusal("refused", "UNSUPPORTED_FORMAT", detail, size, time)
        case "video":
            detail = f"It is a video ({signature.format})."
            if len(data) == size <= MAX_IMAGE_BYTES:
                return Film(data, detail, time)
            return Refusal("skipped", "VIDEO", detail, size, time)
    if size == 0:
        return Refusal("refused", "EMPTY_FILE", "The file has no bytes; copy it again.", 0, time)
    if os.path.splitext(name)[1].lower() in _IMAGE_SUFFIXES:
        detail = f"Its name says image, its bytes do not; replace it by a {photos} file."
        return Refusal("refused", "NOT_AN_IMAGE", detail, size, time)
    return Refusal("skipped", "NOT_A_PHOTO", f"It is not a {photos} file.", size, time)


def too_large(size: int, time: datetime | None = None) -> Refusal:
    """The refusal of something above `MAX_IMAGE_BYTES`."""
    detail = f"It has {size / 2**20:.1f} MiB; at most {MAX_IMAGE_BYTES // 2**20} MiB are taken."
    return Refusal("refused", "TOO_LARGE", detail, size, time)
