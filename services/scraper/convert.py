"""Between the messages of scraper.proto and the domain's own types."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from services.scraper.films import MAX_FRAMES
from services.scraper.forget import Takedown, Target, parse_target
from tagloom.artifacts import layout
from tagloom.artifacts.collection import (
    Collection,
    FolderSource,
    HashtagSource,
    Item,
    PostOptions,
    ProfileSource,
    S3Source,
    Source,
    UrlsSource,
    ZipSource,
)
from tagloom.errors import InvalidArgument
from tagloom.v1 import scraper_pb2

__all__ = [
    "collection_message",
    "frames",
    "item_message",
    "posts",
    "source_of",
    "takedown_message",
    "target_of",
]

_DEFAULT_POSTS, _MOST_POSTS = 1000, 1_000_000
_MOST_HASHTAG = 150
_HASHTAG_KINDS = ("L", "M", "N", "Pc", "So")
"""Unicode's letters, marks (vowels of Hindi or Thai), digits, `_`, and emoji"""
_JOINERS = "\u200c\u200d\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
"""within Persian words, and within emoji: of several, and their colours"""
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
            asked = request.hashtag
            tags = _names(asked.hashtag, asked.more_hashtags, "#", "hashtag.hashtag")
            return HashtagSource(
                hashtag=tags[0],
                more=tags[1:],
                max_posts=posts(asked.max_posts, "hashtag.max_posts"),
                options=_options(asked.options),
            )
        case "profile":
            wanted = request.profile
            names = _names(wanted.profile, wanted.more_profiles, "@", "profile.profile")
            return ProfileSource(
                profile=names[0],
                more=names[1:],
                max_posts=posts(wanted.max_posts, "profile.max_posts"),
                options=_options(wanted.options),
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
        frames_per_video=collection.frames_per_video,
        revision=collection.revision,
        update_time=collection.update_time or collection.create_time,
    )
    match collection.source:
        case FolderSource(path=path):
            message.folder.path = path
        case HashtagSource() as source:
            message.hashtag.hashtag = source.hashtag
            message.hashtag.more_hashtags.extend(source.more)
            message.hashtag.max_posts = source.max_posts
            _tell_options(source.options, message.hashtag.options)
        case ProfileSource() as source:
            message.profile.profile = source.profile
            message.profile.more_profiles.extend(source.more)
            message.profile.max_posts = source.max_posts
            _tell_options(source.options, message.profile.options)
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
        caption=item.caption,
        feed=item.feed,
        second=item.second,
        likes=item.likes,
        comments=[
            scraper_pb2.Comment(owner=c.owner, text=c.text, time=c.time) for c in item.comments
        ],
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


def posts(asked: int, field: str) -> int:
    """How many posts to take. Raises InvalidArgument (MAX_POSTS_INVALID)."""
    if not 0 <= asked <= _MOST_POSTS:
        raise InvalidArgument(
            f"max_posts is {asked}; write a number from 1 to {_MOST_POSTS}, or leave it out for "
            f"{_DEFAULT_POSTS}.",
            reason="MAX_POSTS_INVALID",
            field=field,
        )
    return asked or _DEFAULT_POSTS


def frames(request: scraper_pb2.CreateCollectionRequest) -> int:
    """How many frames to take of a video. Raises InvalidArgument (FRAMES_INVALID)."""
    asked = request.frames_per_video
    if not 0 <= asked <= MAX_FRAMES:
        raise InvalidArgument(
            f"frames_per_video is {asked}; write a number from 1 to {MAX_FRAMES}, or leave it out "
            "to skip videos.",
            reason="FRAMES_INVALID",
            field="frames_per_video",
        )
    return int(asked)


def target_of(request: scraper_pb2.ForgetItemsRequest) -> Target:
    """What to forget. Raises InvalidArgument (INVALID_POST, INVALID_SHA256)."""
    if request.WhichOneof("target") == "sha256":
        layout.image(request.sha256)
        return Target(image=request.sha256)
    return parse_target(request.post)


def takedown_message(takedown: Takedown) -> scraper_pb2.Takedown:
    """What was forgotten, as clients see it."""
    return scraper_pb2.Takedown(
        sha256=takedown.images,
        collections=takedown.collections,
        unfinished=takedown.unfinished,
    )


def _names(first: str, more: Iterable[str], sign: str, field: str) -> tuple[str, ...]:
    """Hashtags or profiles, lower-case, each once. Raises InvalidArgument naming the field."""
    found: dict[str, None] = {}
    for given in (first, *more):
        name = unicodedata.normalize("NFC", given.removeprefix(sign))
        if not (_is_hashtag(name) if sign == "#" else _PROFILE.fullmatch(name)):
            if sign == "#":
                raise InvalidArgument(
                    f"{given[:80]!r} is not a hashtag; write letters, digits, '_' and emoji, "
                    f"at most {_MOST_HASHTAG}, without '#'.",
                    reason="HASHTAG_INVALID",
                    field=field,
                )
            raise InvalidArgument(
                f"{given[:80]!r} is not a profile's name; write letters, digits, '.' and '_', at "
                "most 30, without '@'.",
                reason="PROFILE_INVALID",
                field=field,
            )
        found[name.lower()] = None
    return tuple(found)


def _is_hashtag(name: str) -> bool:
    return (
        0 < len(name) <= _MOST_HASHTAG
        and not all(c in _JOINERS for c in name)
        and all(c in _JOINERS or unicodedata.category(c).startswith(_HASHTAG_KINDS) for c in name)
    )


def _options(options: scraper_pb2.PostOptions) -> PostOptions:
    return PostOptions(
        first_picture_only=options.first_picture_only,
        likes=options.likes,
        comments=options.comments,
    )


def _tell_options(options: PostOptions, message: scraper_pb2.PostOptions) -> None:
    if options != PostOptions():
        message.first_picture_only = options.first_picture_only
        message.likes, message.comments = options.likes, options.comments
