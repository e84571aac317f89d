"""What a file is by its first bytes; its name is not asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["HEAD_BYTES", "PHOTO_FORMATS", "Signature", "identify"]

HEAD_BYTES = 64
"""How many bytes `identify` looks at."""

PHOTO_FORMATS = ("JPEG", "PNG", "WebP")
"""What is collected: the formats that every later step reads."""

Kind = Literal["photo", "picture", "video", "other"]


@dataclass(frozen=True, slots=True)
class Signature:
    """A kind and, where it is known, a format."""

    kind: Kind
    """photo: collected; picture: an image in another format; video; other: anything else"""
    format: str = ""


_PREFIXES: tuple[tuple[bytes, Signature], ...] = (
    (b"\xff\xd8\xff", Signature("photo", "JPEG")),
    (b"\x89PNG\r\n\x1a\n", Signature("photo", "PNG")),
    (b"GIF87a", Signature("picture", "GIF")),
    (b"GIF89a", Signature("picture", "GIF")),
    (b"II*\x00", Signature("picture", "TIFF")),
    (b"MM\x00*", Signature("picture", "TIFF")),
    (b"II+\x00", Signature("picture", "TIFF")),
    (b"MM\x00+", Signature("picture", "TIFF")),
    (b"8BPS", Signature("picture", "Photoshop")),
    (b"\xff\x0a", Signature("picture", "JPEG XL")),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", Signature("picture", "JPEG XL")),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", Signature("picture", "JPEG 2000")),
    (b"\xff\x4f\xff\x51", Signature("picture", "JPEG 2000")),
    (b"\x00\x00\x01\xba", Signature("video", "MPEG")),
    (b"\x00\x00\x01\xb3", Signature("video", "MPEG")),
    (b"\x1aE\xdf\xa3", Signature("video", "Matroska or WebM")),
    (b"FLV\x01", Signature("video", "Flash")),
)

_ISO_PICTURES = {
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"hevc": "HEIC",
    b"mif1": "HEIF",
    b"msf1": "HEIF",
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"crx ": "Canon raw",
}


def identify(head: bytes) -> Signature:
    """The signature of a file that starts with `head` (up to `HEAD_BYTES` bytes are enough).

    Formats by their specifications: JPEG (ITU T.81), PNG (RFC 2083), WebP and AVI (RIFF), ISO base
    media (ISO/IEC 14496-12) for HEIC, AVIF, MP4 and QuickTime, TIFF 6.0, BMP.
    """
    for prefix, signature in _PREFIXES:
        if head.startswith(prefix):
            return signature
    if head[:4] == b"RIFF":
        if head[8:12] == b"WEBP":
            return Signature("photo", "WebP")
        if head[8:12] == b"AVI ":
            return Signature("video", "AVI")
    if head[4:8] == b"ftyp":
        picture = _ISO_PICTURES.get(head[8:12])
        return Signature("picture", picture) if picture else Signature("video", "MP4 or QuickTime")
    # "BM" alone begins many a text; a real header also has two reserved zero words.
    if head[:2] == b"BM" and len(head) >= 26 and head[6:10] == b"\0\0\0\0":
        return Signature("picture", "BMP")
    return Signature("other")
