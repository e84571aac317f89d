"""A dataset: square training images, and the verdict on every image they came from."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from tagloom.artifacts.base import Manifest, Record

__all__ = [
    "Box",
    "CheckResult",
    "Crop",
    "Dataset",
    "LabelClass",
    "LabelSource",
    "Square",
    "Threshold",
    "Verdict",
]


class Crop(Record):
    """How squares are cut."""

    mode: Literal["center", "subject", "tiles"] = "center"
    tile_size: int = 0
    """side of a tile in source pixels; 0: the judged resolution"""
    overlap: float = 0.0
    """tiles: the largest share of its side that a tile may have in common with the next one"""
    output_size: int = 0
    """side of the written images in pixels; 0: the judged resolution"""


class Threshold(Record):
    """One bound of a profile, in the check's own unit."""

    check: str
    enabled: bool = True
    value: float


class LabelSource(Record):
    """Where the labels of the training images come from."""

    kind: Literal["hashtag", "folder"]
    """hashtag: what led to the photo, or a tag of its caption; folder: the first of its path"""
    classes: tuple[str, ...] = ()
    """in the order of their numbers; empty: the hashtags gathered, or all folders, sorted"""


class LabelClass(Record):
    """One class of a dataset; its number is its place."""

    name: str
    train: int
    """squares to train on"""
    held_out: int
    """squares held out"""


class Square(Record):
    """A square of source pixels in the upright image, and the training image that it became."""

    left: int
    top: int
    side: int
    held_out: bool = False
    """whether it lies in held_out.zip"""
    file: str = ""
    """its name there"""


class Box(Record):
    """An axis-aligned box in pixels of the upright image."""

    left: float
    top: float
    right: float
    bottom: float
    score: float = 0.0


class CheckResult(Record):
    """What one check said of one image."""

    check: str
    score: float
    unit: str
    threshold: float
    minimum: bool
    """True: the score must be at least the threshold; False: at most"""
    passed: bool
    boxes: tuple[Box, ...] = ()
    detail: str = ""
    related: str = ""
    """SHA-256 of the image it was compared with, where one is to blame (a better copy)"""


class Verdict(Record):
    """Why one image stayed or went (a row of verdicts.parquet)."""

    sha256: str
    source: str
    kept: bool
    failed_checks: tuple[str, ...] = ()
    results: tuple[CheckResult, ...] = ()
    width: int = 0
    height: int = 0
    tiles: int = 0
    """squares cut from it, held-out ones included"""
    squares: tuple[Square, ...] = ()
    """those squares; empty in tables of older versions"""
    label: str = ""
    """its class; empty without labels"""


class Dataset(Manifest):
    """What `datasets/<id>/manifest.json` says."""

    id: str
    create_time: datetime
    collection: str
    """`collections/{id}`; empty when it was imported"""
    collection_sha256: str
    origin: str = ""
    """the zip or folder that it was imported from; empty when it was made from a collection"""
    resolution: int = Field(ge=1)
    """judged for, px"""
    crop: Crop
    resize_filter: str
    """the exact filter of the reduction: it changes Frechet distances"""
    profile: str = "default"
    """the profile that the thresholds began with"""
    thresholds: tuple[Threshold, ...]
    """all that were applied, whatever the profile's name means later"""
    check_versions: dict[str, str]
    judged: int
    kept: int
    rejected: int
    train: int
    """squares in images.zip"""
    held_out: int
    """squares in held_out.zip"""
    held_out_ratio: float
    seed: int
    content_sha256: str
    """of images.zip"""
    held_out_sha256: str
    """of held_out.zip; empty when nothing is held out"""
    labels: LabelSource | None = None
    """None: without labels"""
    classes: tuple[LabelClass, ...] = ()
    """in the order of their numbers"""
    files: str = ""
    """what the names of its zips and of its verdicts have before their dot; empty at first"""
    revision: int = 1
    """grows when an image of it is forgotten (`tagloom forget`)"""
    update_time: datetime | None = None
    """of the last revision; None: it is the first"""
    former_content: tuple[str, ...] = ()
    """SHA-256 of zips of former revisions: nothing cached of them may stay"""
    forgotten: tuple[str, ...] = ()
    """SHA-256 of images that former revisions held"""

    @property
    def image_size(self) -> int:
        """Side of the squares in pixels."""
        return self.crop.output_size or self.resolution
