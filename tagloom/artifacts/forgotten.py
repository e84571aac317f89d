"""Tombstones: what was forgotten on somebody's request, and is never taken again."""

from __future__ import annotations

from datetime import datetime

from tagloom.artifacts import layout
from tagloom.artifacts.base import Manifest
from tagloom.store.interface import Store

__all__ = ["Forgotten", "Tombstone"]


class Tombstone(Manifest):
    """What `forgotten/<sha256>` and `forgotten/posts/<shortcode>` say."""

    time: datetime
    images: tuple[str, ...] = ()
    """of a post: hashes of its images, as far as they were known"""


class Forgotten:
    """The tombstones of a store, as they were when this was made."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.images: set[str] = set()
        """hashes"""
        self.posts: set[str] = set()
        """shortcodes"""
        for info in store.iterate(layout.FORGOTTEN):
            name = info.key.removeprefix(layout.FORGOTTEN)
            if info.key.startswith(layout.FORGOTTEN_POSTS):
                self.posts.add(name.removeprefix("posts/"))
            else:
                self.images.add(name)

    def has_image(self, sha256: str) -> bool:
        """Whether its bytes were forgotten, by now: asks the store."""
        if sha256 not in self.images and self._store.exists(layout.forgotten_image(sha256)):
            self.images.add(sha256)
        return sha256 in self.images

    def has_post(self, shortcode: str) -> bool:
        """Whether the post was forgotten, by now: asks the store."""
        if shortcode not in self.posts and self._store.exists(layout.forgotten_post(shortcode)):
            self.posts.add(shortcode)
        return shortcode in self.posts
