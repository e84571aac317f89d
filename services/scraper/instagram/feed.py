"""The posts of a hashtag or profile in Instagram's order, and what each consists of."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from instaloader import FrozenNodeIterator, Hashtag, NodeIterator, Post, Profile, get_json_structure
from instaloader.exceptions import (
    BadResponseException,
    InvalidArgumentException,
    PostChangedException,
    QueryReturnedNotFoundException,
)

from services.scraper.instagram.context import InstagramContext
from tagloom.artifacts.collection import HashtagSource, ProfileSource

__all__ = ["Feed", "GonePost", "Media", "TakenPost", "describe", "read_post"]


@dataclass(frozen=True, slots=True)
class GonePost:
    """A post that was listed, but whose own data cannot be had (deleted meanwhile, changed)."""

    shortcode: str


@dataclass(frozen=True, slots=True)
class Media:
    """One picture or video of a post."""

    source: str
    """the post's address, with the picture's number where it has several"""
    url: str
    """of the image; of a video's cover"""
    is_video: bool


@dataclass(frozen=True, slots=True)
class TakenPost:
    """What is kept of a post."""

    owner: str
    """user name; `id:<number>` where only a query more would tell the name"""
    tags: tuple[str, ...]
    """hashtags of the caption, lower-case, each once"""
    time: datetime
    media: tuple[Media, ...]


def describe(source: HashtagSource | ProfileSource) -> str:
    """How people call it: "hashtag #cats", "profile @cats"."""
    if isinstance(source, HashtagSource):
        return f"hashtag #{source.hashtag}"
    return f"profile @{source.profile}"


class Feed:
    """Posts one by one, around an Instaloader `NodeIterator`.

    Each method that queries may be called again after it failed: it then repeats that query.
    """

    def __init__(self, context: InstagramContext, source: HashtagSource | ProfileSource) -> None:
        self._open: Callable[[], NodeIterator[Post]]
        if isinstance(source, HashtagSource):
            hashtag = source.hashtag
            self._open = lambda: Hashtag.from_name(context, hashtag).get_posts_resumable()
        else:
            profile = source.profile
            self._open = lambda: Profile.from_username(context, profile).get_posts()
        self._posts: NodeIterator[Post] | None = None

    def open(self, frozen: dict[str, Any] | None) -> None:
        """Start at the frozen post; at the first one if nothing is frozen, or what is frozen does
        not fit (another session, a newer Instaloader)."""
        posts = self._open()
        if frozen is not None:
            untouched = copy.copy(posts)
            try:
                posts.thaw(FrozenNodeIterator(**frozen))
            except (InvalidArgumentException, TypeError):
                posts = untouched
        self._posts = posts

    @property
    def count(self) -> int | None:
        """How many posts there are, where Instagram says so. It may be wrong."""
        count = self._iterator.count
        return count if isinstance(count, int) and count >= 0 else None

    def next(self) -> Post | GonePost | None:
        """The next post; None after the last."""
        savepoint = copy.copy(self._iterator)
        try:
            return next(self._iterator, None)
        except (BadResponseException, PostChangedException, QueryReturnedNotFoundException):
            if self._iterator.total_index == savepoint.total_index:
                raise  # it is the page that failed, not one post of it
            (node, *_) = self._remaining()
            return GonePost(str(node.get("shortcode") or node["code"]))
        except BaseException:
            # The iterator has already passed the post whose query failed.
            self._posts = savepoint
            raise

    def freeze(self) -> dict[str, Any]:
        """The state of the feed at the post that `next` returned last."""
        return self._iterator.freeze()._asdict()

    def _remaining(self) -> list[dict[str, Any]]:
        frozen = self._iterator.freeze()
        return [edge["node"] for edge in (frozen.remaining_data or {})["edges"]]

    @property
    def _iterator(self) -> NodeIterator[Post]:
        if self._posts is None:
            raise ValueError("the feed is not open")
        return self._posts


def read_post(post: Post) -> TakenPost:
    """What is kept of a post. Asks Instagram once more for posts whose pictures are not listed."""
    address = f"https://www.instagram.com/p/{post.shortcode}/"
    if post.typename == "GraphSidecar":
        media = tuple(
            Media(f"{address}?img_index={number}", node.display_url, node.is_video)
            for number, node in enumerate(post.get_sidecar_nodes(), start=1)
        )
    else:
        media = (Media(address, post.url, post.is_video),)
    return TakenPost(
        owner=_owner(post),
        tags=tuple(dict.fromkeys(post.caption_hashtags)),
        time=post.date_local.astimezone(UTC),
        media=media,
    )


def _owner(post: Post) -> str:
    # `Post.owner_username` sends a query when the name is not known yet; a hashtag's page knows
    # ids only, and a query for each of its posts would use up the rate limit.
    structure = get_json_structure(post)["node"]
    owner = structure.get("owner") or structure.get("user") or {}
    name = owner.get("username")
    return str(name).lower() if name else f"id:{post.owner_id}"
