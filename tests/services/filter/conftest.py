"""The photos in the wheels of scikit-image and scikit-learn, and collections of such files."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import skimage
import sklearn
from hypothesis import settings
from PIL import Image

from services.filter.decode import Photo, decode
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.collection import Collection, FolderSource, Item, content_hash
from tagloom.store import Store, open_store

# How long an example takes says nothing on a machine with other work.
settings.register_profile("filter", deadline=None)
settings.load_profile("filter")

FOLDERS = (
    Path(skimage.__file__).parent / "data",
    Path(sklearn.__file__).parent / "datasets" / "images",
)

AddCollection = Callable[..., Collection]


def photo_path(name: str) -> Path:
    found = [path for folder in FOLDERS for path in folder.glob(f"{name}.*")]
    return next(path for path in found if path.suffix in (".png", ".jpg"))


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, format, **options)
    return sink.getvalue()


@pytest.fixture(scope="session")
def photo_bytes() -> Callable[[str], bytes]:
    """The file of a photo, by its name without suffix."""
    return lambda name: photo_path(name).read_bytes()


@pytest.fixture(scope="session")
def photo() -> Callable[[str], Photo]:
    """A decoded photo, by name."""
    return cache(lambda name: decode(photo_path(name).read_bytes()))


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """An image or an array [h, w, 3] as a file."""

    def function(image: Image.Image | np.ndarray, format: str = "PNG", **options: object) -> bytes:
        picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
        return encoded(picture, format, **options)

    return function


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def write_collection(store: Store, collection_id: str, files: Mapping[str, bytes]) -> Collection:
    """A collection as the scraper leaves it; equal files are duplicates."""
    items, seen = [], set[str]()
    for source, data in files.items():
        sha256 = hashlib.sha256(data).hexdigest()
        state = "duplicate" if sha256 in seen else "stored"
        seen.add(sha256)
        store.put(layout.image(sha256), data)
        items.append(Item(state=state, source=source, sha256=sha256, size=len(data)))
    items.append(Item(state="skipped", source="notes.txt", reason="NOT_AN_IMAGE"))
    lines = b"".join(item.model_dump_json().encode() + b"\n" for item in items)
    store.put(layout.collection_items(collection_id), lines)
    collection = Collection(
        id=collection_id,
        create_time=now(),
        source=FolderSource(path="photos"),
        stored=len(seen),
        duplicates=len(files) - len(seen),
        skipped=1,
        refused=0,
        content_sha256=content_hash(seen),
    )
    key = layout.collection_manifest(collection_id)
    collection.create(store, key, f"collections/{collection_id}")
    return collection


@pytest.fixture(scope="session")
def add_collection() -> AddCollection:
    """`add_collection(store, id, {source: bytes})`."""
    return write_collection


@pytest.fixture(scope="session")
def small_photos() -> dict[str, bytes]:
    """A few reduced photos: two that stay at 128 px, one grey, one small, and two damaged files."""

    def reduced(name: str, side: int, mode: str = "RGB") -> bytes:
        image = Image.open(photo_path(name)).convert(mode)
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        return encoded(image, "PNG")

    flower = reduced("flower", 300)
    return {
        "flower.png": flower,
        "camera.png": reduced("camera", 200, "L"),
        "again/flower.png": flower,
        "coffee.png": reduced("coffee", 320),
        "tiny.png": reduced("chelsea", 90),
        "text renamed.jpg": b"this is a text file\n" * 20,
        "cut off.jpg": photo_path("china").read_bytes()[:60_000],
    }
