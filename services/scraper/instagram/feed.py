"""The posts of a hashtag or profile in Instagram's order, and what each consists of."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from instaloader import FrozenNodeIterator, Hashtag, NodeIterator, Post, Profile
from instaloader.exceptions import (
    BadResponseException,
    InvalidArgumentException,
    PostChangedException,
    QueryReturnedNotFoundException,
)

from services.scraper.instagram.context import InstagramContext
from services.scraper.instagram.refusals import EmptyPage
from tagloom.artifacts.collection import HashtagSource, ProfileSource

__all__ = ["Feed", "FeedName", "GonePost", "describe", "feeds_of"]

_EMPTY_PAGES = 2
"""in a row that are taken for a refusal; one more is taken for the end"""


@dataclass(frozen=True, slots=True)
class FeedName:
    """One hashtag or profile."""

    sign: str
    """`#` or `@`"""
    name: str

    def __str__(self) -> str:
        return self.sign + self.name

    @property
    def words(self) -> str:
        """How people call it: "hashtag #cats", "profile @cats"."""
        return f"{'hashtag' if self.sign == '#' else 'profile'} {self}"


def feeds_of(source: HashtagSource | ProfileSource) -> list[FeedName]:
    """The hashtags or profiles of a source, in order."""
    if isinstance(source, HashtagSource):
        return [FeedName("#", name) for name in (source.hashtag, *source.more)]
    return [FeedName("@", name) for name in (source.profile, *source.more)]


def describe(source: HashtagSource | ProfileSource) -> str:
    """How people call it: "hashtag #cats", "hashtags #cats, #dogs"."""
    first, *rest = feeds_of(source)
    if not rest:
        return first.words
    return f"{first.words.split()[0]}s {', '.join(map(str, (first, *rest)))}"


@dataclass(frozen=True, slots=True)
class GonePost:
    """A post that was listed, but whose own data cannot be had (deleted meanwhile, changed)."""

    shortcode: str


class Feed:
    """Posts one by one, around an Instaloader `NodeIterator`.

    Each method that queries may be called again after it failed: it then repeats that query.
    """

    def __init__(self, context: InstagramContext, feed: FeedName) -> None:
        self._open: Callable[[], NodeIterator[Post]]
        name = feed.name
        if feed.sign == "#":
            self._open = lambda: Hashtag.from_name(context, name).get_posts_resumable()
        else:
            self._open = lambda: Profile.from_username(context, name).get_posts()
        self._posts: NodeIterator[Post] | None = None
        self._empty = 0
        self.ended_early = False
        """whether it ended with a page without posts, though there should have been some"""

    def open(self, frozen: dict[str, Any] | None) -> None:
        """Start at the frozen post; at the first one if nothing is frozen, or what is frozen does
        not fit (another session, a newer Instaloader). Raises EmptyPage."""
        posts = self._open()
        if frozen is not None:
            untouched = copy.copy(posts)
            try:
                posts.thaw(FrozenNodeIterator(**frozen))
            except (InvalidArgumentException, TypeError):
                posts = untouched
        self._posts = posts
        if (self.count or 0) > 0 and not self._page()["edges"] and not posts.total_index:
            self._empty_page()

    @property
    def count(self) -> int | None:
        """How many posts there are, where Instagram says so. It may be wrong."""
        count = self._iterator.count
        return count if isinstance(count, int) and count >= 0 else None

    def next(self) -> Post | GonePost | None:
        """The next post; None after the last. Raises EmptyPage."""
        savepoint = copy.copy(self._iterator)
        try:
            post = next(self._iterator, None)
        except (BadResponseException, PostChangedException, QueryReturnedNotFoundException):
            if self._iterator.total_index == savepoint.total_index:
                raise  # it is the page that failed, not one post of it
            (node, *_) = [edge["node"] for edge in self._page()["edges"]]
            return GonePost(str(node.get("shortcode") or node["code"]))
        except BaseException:
            # The iterator has already passed the post whose query failed.
            self._posts = savepoint
            raise
        if post is not None:
            self._empty = 0
        elif (self._page().get("page_info") or {}).get("has_next_page"):
            # Instaloader takes an empty page, or the same page again, for the end.
            self._empty_page()
        return post

    def freeze(self) -> dict[str, Any]:
        """The state of the feed at the post that `next` returned last."""
        return self._iterator.freeze()._asdict()

    def _empty_page(self) -> None:
        self._empty += 1
        if self._empty <= _EMPTY_PAGES:
            raise EmptyPage
        self.ended_early = True

    def _page(self) -> dict[str, Any]:
        """The page that it is at: its posts from the last one returned on."""
        return self._iterator.freeze().remaining_data or {"edges": []}

    @property
    def _iterator(self) -> NodeIterator[Post]:
        if self._posts is None:
            raise ValueError("the feed is not open")
        return self._posts
