"""The container of a photo: whether its checksums hold, and what else the same bytes are.

Decoders do not tell: Pillow gives black rows where a PNG is damaged, and passes over whatever
follows an image. A file that is a picture to one program and an archive or a page to another (a
polyglot) is made by somebody for a purpose: it is not a photo that we take. What cameras append
(previews, films of motion photos, notes of the maker) is nothing of the kind.
"""

from __future__ import annotations

import re
import zlib

__all__ = ["foreign_content", "looks_like_a_photo", "wrong_checksum"]

_PNG = b"\x89PNG\r\n\x1a\n"
_TAIL_OF_ZIP = 22
"""bytes of a zip's end record without its comment"""
_MAX_COMMENT = 65_535
_PDF_WITHIN = 1024
"""bytes: readers of PDF look so far for its beginning"""
_SCAN_ENDS = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""a marker after the data of a scan; 0xff inside it is followed by 0, or counts restarts"""

_APPENDED = {
    b"PK\3\4": "a ZIP archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x1f\x8b\x08": "a gzip archive",
    b"%PDF-": "a PDF document",
    b"\x7fELF": "a program",
    b"#!/": "a script",
    b"<?php": "a script",
    b"<script": "a script",
    b"<!doctype html": "a page of HTML",
    b"<html": "a page of HTML",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML document",
}


def looks_like_a_photo(data: bytes) -> bool:
    """Whether it begins as JPEG, PNG or WebP do."""
    webp = data.startswith(b"RIFF") and data[8:12] == b"WEBP"
    return webp or data.startswith((b"\xff\xd8\xff", _PNG))


def wrong_checksum(data: bytes) -> str | None:
    """The name of the first critical chunk of a PNG whose CRC is wrong; None for other formats."""
    if not data.startswith(_PNG):
        return None
    view = memoryview(data)
    for kind, start, end in _chunks(data):
        critical = kind[:1].isupper()
        if critical and zlib.crc32(view[start - 4 : end]) != int.from_bytes(view[end : end + 4]):
            return kind.decode("ascii", "replace")
    return None


def foreign_content(data: bytes) -> str | None:
    """What else a photo's file is or carries behind the image, for people; None for nothing."""
    if _is_zip(data):
        return "a ZIP archive"
    if b"%PDF-" in data[:_PDF_WITHIN]:
        return "a PDF document"
    end = _end(data)
    if end is None:
        return None
    appended = data[end : end + 256].lstrip(b"\0\t\r\n ").lower()
    return next(
        (what for magic, what in _APPENDED.items() if appended.startswith(magic.lower())), None
    )


def _chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """(type, start, end) of the content of the chunks of a PNG, whole ones, up to IEND."""
    found, at = [], len(_PNG)
    while at + 12 <= len(data):
        start, length = at + 8, int.from_bytes(data[at : at + 4])
        if start + length + 4 > len(data):
            break
        found.append((data[at + 4 : start], start, start + length))
        at = start + length + 4
        if found[-1][0] == b"IEND":
            break
    return found


def _is_zip(data: bytes) -> bool:
    """Whether unzip would take it: an end record that points at a directory that is there."""
    end = data.rfind(b"PK\5\6", max(0, len(data) - _TAIL_OF_ZIP - _MAX_COMMENT))
    if end < 0 or end + _TAIL_OF_ZIP > len(data):
        return False
    size = int.from_bytes(data[end + 12 : end + 16], "little")
    directory = end - size
    return 0 <= directory < end and data[directory : directory + 4] == b"PK\1\2"


def _end(data: bytes) -> int | None:
    """Where the image ends and something follows; None where nothing does, or nobody can tell."""
    if data.startswith(_PNG):
        chunks = _chunks(data)
        end = chunks[-1][2] + 4 if chunks and chunks[-1][0] == b"IEND" else None
    elif data.startswith(b"RIFF"):
        size = int.from_bytes(data[4:8], "little")
        end = 8 + size + size % 2
    elif data.endswith(b"\xff\xd9"):
        return None  # as nearly all JPEGs: need not be walked through
    else:
        end = _jpeg_end(data)
    return end if end is not None and end < len(data) else None


def _jpeg_end(data: bytes) -> int | None:
    """Behind the marker EOI of the first image, past previews inside its segments."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xD9:
            return at + 2
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # without content
            at += 2
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
        if marker == 0xDA:
            following = _SCAN_ENDS.search(data, at)
            if following is None:
                return None
            at = following.start()
    return at + 2 if data[at : at + 2] == b"\xff\xd9" else None
