"""Real photos, and files that pretend to be some."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image
from skimage import data as photos

from tagloom.store import Store, open_store


def encode(name: str, size: tuple[int, int], format: str = "JPEG", quality: int = 85) -> bytes:
    """A photo that scikit-image ships, reduced to `size` and encoded."""
    image = Image.fromarray(getattr(photos, name)()).convert("RGB").resize(size)
    buffer = io.BytesIO()
    image.save(buffer, format, quality=quality)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def jpeg() -> bytes:
    return encode("chelsea", (320, 240))


@pytest.fixture(scope="session")
def png() -> bytes:
    return encode("coffee", (200, 160), "PNG")


@pytest.fixture(scope="session")
def webp() -> bytes:
    return encode("rocket", (240, 160), "WEBP")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def photo_folder(tmp_path: Path, jpeg: bytes, png: bytes, webp: bytes) -> Path:
    """Three photos in two folders, and files that are none."""
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    (folder / "cat.jpg").write_bytes(jpeg)
    (folder / "b" / "coffee.png").write_bytes(png)
    (folder / "b" / "rocket").write_bytes(webp)  # no suffix: the bytes decide
    (folder / "b" / "cat again.jpeg").write_bytes(jpeg)
    (folder / "notes.txt").write_text("not a photo\n")
    return folder
