from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from services.scraper.signatures import HEAD_BYTES, identify


def saved(format: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(buffer, format)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_photos_are_known_by_what_pillow_writes(format: str) -> None:
    signature = identify(saved(format)[:HEAD_BYTES])
    assert (signature.kind, signature.format.upper()) == ("photo", format)


@pytest.mark.parametrize(
    ("format", "name"),
    [
        ("GIF", "GIF"),
        ("TIFF", "TIFF"),
        ("BMP", "BMP"),
        ("AVIF", "AVIF"),
        ("JPEG2000", "JPEG 2000"),
    ],
)
def test_other_images_are_named(format: str, name: str) -> None:
    signature = identify(saved(format)[:HEAD_BYTES])
    assert (signature.kind, signature.format) == ("picture", name)


@pytest.mark.parametrize(
    "head",
    [
        b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00",
        b"\x00\x00\x00\x14ftypqt  \x00\x00\x02\x00",
        b"\x1aE\xdf\xa3\x9fB\x86\x81\x01",
        b"RIFF\x00\x10\x00\x00AVI LIST",
    ],
)
def test_videos(head: bytes) -> None:
    assert identify(head).kind == "video"


@pytest.mark.parametrize(
    "head", [b"", b"\xff\xd8", b"\x89PNG", b"RIFF", b"BM, she wrote, is a car", b"GIF9", b"PK\x03"]
)
def test_what_only_looks_alike_is_nothing(head: bytes) -> None:
    assert identify(head).kind == "other"


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
def test_plain_text_is_never_a_photo(text: str) -> None:
    assert identify(text.encode()).kind != "photo"
