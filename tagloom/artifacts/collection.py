"""A collection: raw photos and where each came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from tagloom.artifacts import layout
from tagloom.artifacts.base import Manifest, Record
from tagloom.errors import DataLoss
from tagloom.store.interface import ObjectNotFound, Store

__all__ = [
    "Collection",
    "Comment",
    "FolderSource",
    "HashtagSource",
    "Item",
    "ItemState",
    "PostOptions",
    "ProfileSource",
    "S3Source",
    "Source",
    "UrlsSource",
    "ZipSource",
    "content_hash",
    "read_items",
]

ItemState = Literal["stored", "duplicate", "skipped", "refused"]


class FolderSource(Record):
    """A folder on the server's machine."""

    kind: Literal["folder"] = "folder"
    path: str


class PostOptions(Record):
    """What is taken of an Instagram post besides its pictures, and of these."""

    first_picture_only: bool = False
    """of a post with several, the one that it shows first"""
    likes: bool = False
    """keep the number of likes"""
    comments: bool = False
    """keep the comments; each post then costs a query or more"""


class HashtagSource(Record):
    """Public posts of Instagram hashtags."""

    kind: Literal["hashtag"] = "hashtag"
    hashtag: str
    more: tuple[str, ...] = ()
    """further hashtags; a post that they share is taken once"""
    max_posts: int = 1000
    """of each"""
    options: PostOptions = PostOptions()


class ProfileSource(Record):
    """Public posts of Instagram profiles."""

    kind: Literal["profile"] = "profile"
    profile: str
    more: tuple[str, ...] = ()
    """further profiles"""
    max_posts: int = 1000
    """of each"""
    options: PostOptions = PostOptions()


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


class Comment(Record):
    """What somebody wrote about a post."""

    owner: str
    text: str
    time: datetime


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
    """the post's own address; of other addresses, where it was finally read from if not there"""
    caption: str = ""
    feed: str = ""
    """what led to the post: `#hashtag` or `@profile`"""
    second: float | None = None
    """where in a video the frame lies, seconds; `source` then ends with `#t=` and it"""
    likes: int | None = None
    """when they were asked for"""
    comments: tuple[Comment, ...] = ()
    """when they were asked for; with the first picture of a post alone"""

    @property
    def origin(self) -> str:
        """`source`, without a frame's place in it."""
        return self.source if self.second is None else self.source.rpartition("#t=")[0]


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
    items: str = "items.jsonl"
    """the file of its items, beside the manifest; each revision has its own"""
    revision: int = 1
    """grows with each update, and when an image is forgotten"""
    update_time: datetime | None = None
    """of the last revision; None: it is the first"""
    frames_per_video: int = 0
    """frames taken of each video; 0: videos are skipped"""


def read_items(store: Store, collection: Collection) -> Iterator[Item]:
    """What was met while collecting, in order. Raises DataLoss (COLLECTION_DAMAGED)."""
    key = layout.collection_items(collection.id, collection.items)
    try:
        for line in store.get(key).splitlines():
            yield Item.model_validate_json(line)
    except (ObjectNotFound, ValidationError) as error:
        raise DataLoss(
            f"{key} is missing or damaged; collect the photos again under another id.",
            reason="COLLECTION_DAMAGED",
            key=key,
        ) from error


def content_hash(image_hashes: Iterable[str]) -> str:
    """SHA-256 of the sorted, distinct hashes, one a line: what a collection holds."""
    digest = hashlib.sha256()
    for value in sorted(set(image_hashes)):
        digest.update(value.encode() + b"\n")
    return digest.hexdigest()
