"""A collection: raw photos and where each came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from tagloom.artifacts.base import Manifest, Record

__all__ = [
    "Collection",
    "FolderSource",
    "HashtagSource",
    "Item",
    "ItemState",
    "ProfileSource",
    "S3Source",
    "Source",
    "UrlsSource",
    "ZipSource",
    "content_hash",
]

ItemState = Literal["stored", "duplicate", "skipped", "refused"]


class FolderSource(Record):
    """A folder on the server's machine."""

    kind: Literal["folder"] = "folder"
    path: str


class HashtagSource(Record):
    """Public posts of one Instagram hashtag."""

    kind: Literal["hashtag"] = "hashtag"
    hashtag: str
    max_posts: int = 1000


class ProfileSource(Record):
    """Public posts of one Instagram profile."""

    kind: Literal["profile"] = "profile"
    profile: str
    max_posts: int = 1000


class ZipSource(Record):
    """A zip file on the server's machine."""

    kind: Literal["zip"] = "zip"
    path: str


class S3Source(Record):
    """Objects below a prefix."""

    kind: Literal["s3"] = "s3"
    url: str
    """`s3://bucket/prefix`, without a slash at its end"""


class UrlsSource(Record):
    """A list of addresses."""

    kind: Literal["urls"] = "urls"
    path: str = ""
    """the file on the server's machine; empty: the addresses came with the request"""
    sha256: str = ""
    """of the list, one address a line"""
    count: int = 0
    """addresses in it, each once"""


Source = Annotated[
    FolderSource | ZipSource | S3Source | UrlsSource | HashtagSource | ProfileSource,
    Field(discriminator="kind"),
]


class Item(Record):
    """One file or post image met while collecting (a line of items.jsonl)."""

    state: ItemState
    source: str
    """path inside the folder, zip or prefix; address of the post or of the list"""
    reason: str = ""
    """why it was skipped or refused, UPPER_SNAKE_CASE"""
    detail: str = ""
    """the reason as a sentence"""
    sha256: str = ""
    size: int = 0
    """bytes"""
    post: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    time: datetime | None = None
    permalink: str = ""
    """the address that it was finally read from, where that is another one than `source`"""


class Collection(Manifest):
    """What `collections/<id>/manifest.json` says."""

    id: str
    create_time: datetime
    source: Source
    stored: int
    duplicates: int
    skipped: int
    refused: int
    content_sha256: str
    """see `content_hash`"""


def content_hash(image_hashes: Iterable[str]) -> str:
    """SHA-256 of the sorted, distinct hashes, one a line: what a collection holds."""
    digest = hashlib.sha256()
    for value in sorted(set(image_hashes)):
        digest.update(value.encode() + b"\n")
    return digest.hexdigest()
