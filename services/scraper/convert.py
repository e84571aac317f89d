"""Between the messages of scraper.proto and the domain's own types."""

from __future__ import annotations

import re

from tagloom.artifacts import layout
from tagloom.artifacts.collection import (
    Collection,
    FolderSource,
    HashtagSource,
    Item,
    ProfileSource,
    S3Source,
    Source,
    UrlsSource,
    ZipSource,
)
from tagloom.errors import InvalidArgument
from tagloom.v1 import scraper_pb2

__all__ = ["collection_message", "item_message", "source_of"]

_DEFAULT_POSTS, _MOST_POSTS = 1000, 1_000_000
_HASHTAG = re.compile(r"\w{1,150}")
_PROFILE = re.compile(r"[A-Za-z0-9._]{1,30}")
_PREFIX = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/]+)*")
_MOST_URLS, _MOST_URL_BYTES = 1000, 256 * 1024
"""in a request; it lies in the operation's record, which is written again and again"""
_STATES = {
    "stored": scraper_pb2.Item.STATE_STORED,
    "duplicate": scraper_pb2.Item.STATE_DUPLICATE,
    "skipped": scraper_pb2.Item.STATE_SKIPPED,
    "refused": scraper_pb2.Item.STATE_REFUSED,
}


def source_of(request: scraper_pb2.CreateCollectionRequest) -> Source:
    """Where to collect from, with defaults filled in. Raises InvalidArgument naming the field."""
    layout.check_id(request.collection_id, "collection_id")
    match request.WhichOneof("source"):
        case "folder":
            return FolderSource(path=request.folder.path)
        case "hashtag":
            tag = request.hashtag.hashtag.removeprefix("#")
            if not _HASHTAG.fullmatch(tag):
                raise InvalidArgument(
                    f"{request.hashtag.hashtag[:80]!r} is not a hashtag; write letters, digits and "
                    "'_', at most 150, without '#'.",
                    reason="HASHTAG_INVALID",
                    field="hashtag.hashtag",
                )
            return HashtagSource(
                hashtag=tag.lower(), max_posts=_posts(request.hashtag.max_posts, "hashtag")
            )
        case "profile":
            name = request.profile.profile.removeprefix("@")
            if not _PROFILE.fullmatch(name):
                raise InvalidArgument(
                    f"{request.profile.profile[:80]!r} is not a profile's name; write letters, "
                    "digits, '.' and '_', at most 30, without '@'.",
                    reason="PROFILE_INVALID",
                    field="profile.profile",
                )
            return ProfileSource(
                profile=name.lower(), max_posts=_posts(request.profile.max_posts, "profile")
            )
        case "zip":
            return ZipSource(path=request.zip.path)
        case "s3":
            return S3Source(url=_prefix(request.s3.url))
        case "urls":
            return _urls(request.urls)
    raise InvalidArgument(
        "The request names no source; give a folder, a zip, an S3 prefix, a list of addresses, a "
        "hashtag or a profile.",
        reason="SOURCE_MISSING",
        field="source",
    )


def collection_message(collection: Collection) -> scraper_pb2.Collection:
    """The resource as clients see it."""
    message = scraper_pb2.Collection(
        name=f"collections/{collection.id}",
        create_time=collection.create_time,
        item_count=collection.stored
        + collection.duplicates
        + collection.skipped
        + collection.refused,
        stored_count=collection.stored,
        duplicate_count=collection.duplicates,
        skipped_count=collection.skipped,
        refused_count=collection.refused,
        content_sha256=collection.content_sha256,
    )
    match collection.source:
        case FolderSource(path=path):
            message.folder.path = path
        case HashtagSource(hashtag=hashtag, max_posts=posts):
            message.hashtag.hashtag, message.hashtag.max_posts = hashtag, posts
        case ProfileSource(profile=profile, max_posts=posts):
            message.profile.profile, message.profile.max_posts = profile, posts
        case ZipSource(path=path):
            message.zip.path = path
        case S3Source(url=url):
            message.s3.url = url
        case UrlsSource(path=path, sha256=sha256, count=count):
            message.urls.path, message.urls.sha256, message.urls.count = path, sha256, count
    return message


def item_message(item: Item) -> scraper_pb2.Item:
    """One item as clients see it."""
    return scraper_pb2.Item(
        state=_STATES[item.state],
        reason=item.reason,
        sha256=item.sha256,
        size_bytes=item.size,
        source=item.source,
        post=item.post,
        owner=item.owner,
        tags=item.tags,
        time=item.time,
        detail=item.detail,
        permalink=item.permalink,
    )


def _prefix(url: str) -> str:
    trimmed = url.rstrip("/")
    if not _PREFIX.fullmatch(trimmed):
        raise InvalidArgument(
            f"{url[:120]!r} is not an S3 prefix; write s3://bucket or s3://bucket/prefix.",
            reason="S3_URL_INVALID",
            field="s3.url",
        )
    return trimmed


def _urls(message: scraper_pb2.UrlsSource) -> UrlsSource:
    if bool(message.path) == bool(message.urls):
        raise InvalidArgument(
            "Give the addresses either as a file on the server's machine or in the request.",
            reason="URL_LIST_INVALID",
            field="urls",
        )
    if len(message.urls) > _MOST_URLS or sum(map(len, message.urls)) > _MOST_URL_BYTES:
        raise InvalidArgument(
            f"A request holds at most {_MOST_URLS} addresses of {_MOST_URL_BYTES // 1024} KiB "
            "together; put the list on the server's machine, and give its path.",
            reason="URL_LIST_INVALID",
            field="urls.urls",
        )
    return UrlsSource(path=message.path)


def _posts(asked: int, field: str) -> int:
    if not 0 <= asked <= _MOST_POSTS:
        raise InvalidArgument(
            f"max_posts is {asked}; write a number from 1 to {_MOST_POSTS}, or leave it out for "
            f"{_DEFAULT_POSTS}.",
            reason="MAX_POSTS_INVALID",
            field=f"{field}.max_posts",
        )
    return asked or _DEFAULT_POSTS
