"""Taking down: an image, or a post's images, leave every collection, and never come back.

First the tombstones, then the collections, then the bytes: killed at any point and asked again, it
comes to the same end, and nothing that collects meanwhile can bring an image back. Whoever commits
a collection looks for tombstones afterwards (`drop_forgotten`); whoever forgets leaves tombstones
before looking for collections; so one of the two sees the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from services.scraper import journal
from services.scraper.intake import FORGOTTEN
from services.scraper.ledger import revise
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.collection import Collection, Item, read_items
from tagloom.artifacts.forgotten import Forgotten, Tombstone
from tagloom.errors import InvalidArgument, NotFound
from tagloom.progress import Report, silent
from tagloom.store.interface import ObjectNotFound, PreconditionFailed, Store

__all__ = ["Target", "Takedown", "drop_forgotten", "forget", "parse_target"]

_HASH = re.compile(r"[0-9a-f]{64}")
_NEARLY_A_HASH = re.compile(r"[0-9a-fA-F]{24,}")
"""shortcodes have 11 characters, those of private profiles up to 39, of 64 kinds"""
_ADDRESS = re.compile(r"https?://(?:www\.)?instagram\.com/(?:[\w.]+/)?(?:p|reel|tv)/([\w-]+)/?.*")


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be forgotten: exactly one of the two."""

    image: str = ""
    """SHA-256"""
    post: str = ""
    """shortcode"""


@dataclass(frozen=True, slots=True)
class Takedown:
    """What became of it."""

    images: tuple[str, ...]
    """hashes that are forgotten now, by this call or an earlier one for the same target"""
    collections: tuple[str, ...]
    """names of the collections that were changed"""
    unfinished: tuple[str, ...]
    """names of collections under way that have met one of them: it leaves them when they end"""


def parse_target(text: str) -> Target:
    """A SHA-256 in hex, a post's shortcode, or the address of a post.

    Raises InvalidArgument (INVALID_POST, INVALID_SHA256).
    """
    text = text.strip()
    if _HASH.fullmatch(text.lower()):
        return Target(image=text.lower())
    if _NEARLY_A_HASH.fullmatch(text):
        # Taken for a shortcode, it would be answered with "forgotten", and the image would stay.
        raise InvalidArgument(
            f"{text[:80]!r} is neither a SHA-256, which has 64 digits (it has {len(text)}), nor a "
            "post's shortcode; copy the whole hash.",
            reason="INVALID_SHA256",
            field="post",
        )
    if found := _ADDRESS.fullmatch(text):
        text = found.group(1)
    layout.forgotten_post(text)
    return Target(post=text)


def forget(store: Store, target: Target, report: Report = silent) -> Takedown:
    """Removes the image, or the images of the post, from `images/` and from every collection, and
    remembers never to take them again. Done twice, it changes nothing more.

    What no collection ever met is remembered all the same. Datasets are the filter's to make again.
    Raises InvalidArgument, Cancelled.
    """
    if bool(target.image) == bool(target.post):
        raise InvalidArgument("Name an image or a post.", reason="INVALID_POST")
    report("search", 0, 0, "looking for it in all collections")
    images = _images(store, target)
    if target.post:
        # The hashes first: once the collections are changed, nobody could tell them again.
        images |= _bury_post(store, target.post, images)
    for sha256 in sorted(images):
        _bury(store, layout.forgotten_image(sha256))
    collections = list(_collection_ids(store))
    changed, unfinished = [], []
    posts = {target.post} - {""}
    for done, collection_id in enumerate(collections):
        name = f"collections/{collection_id}"
        report("collections", done, len(collections), name)
        try:
            _, new = revise(store, collection_id, _without(images, posts))
        except NotFound:
            pass  # removed since the listing, or not finished
        else:
            if new:
                changed.append(name)
        if any(_meant(i, images, posts) for i in journal.unfinished_items(store, collection_id)):
            unfinished.append(name)
    for sha256 in sorted(images):
        store.delete(layout.image(sha256))
    report("collections", len(collections), len(collections))
    return Takedown(tuple(sorted(images)), tuple(changed), tuple(unfinished))


def drop_forgotten(store: Store, collection: Collection) -> Collection:
    """The collection, without what was forgotten while it was collected."""
    forgotten = Forgotten(store)
    if not forgotten.images and not forgotten.posts:
        return collection
    change = _without(forgotten.images, forgotten.posts)
    revised, _ = revise(store, collection.id, change)
    return revised


def _without(images: set[str], posts: set[str]) -> Any:
    """A change for `revise`: items of these images and posts tell nothing of them any more."""

    def change(
        collection: Collection, items: list[Item]
    ) -> tuple[list[Item], dict[str, Any]] | None:
        rest = [_bare(item) if _meant(item, images, posts) else item for item in items]
        return None if rest == items else (rest, {})

    return change


def _meant(item: Item, images: set[str], posts: set[str]) -> bool:
    return item.sha256 in images or item.post in posts


def _bare(item: Item) -> Item:
    """What has to stay, so that it is accounted for and not taken again; nothing of its owner."""
    return Item(
        state=FORGOTTEN.state,
        reason=FORGOTTEN.reason,
        detail=FORGOTTEN.detail,
        source=item.source,
        post=item.post,
        second=item.second,
    )


def _images(store: Store, target: Target) -> set[str]:
    """Hashes of what is meant, in finished and unfinished collections."""
    if target.image:
        layout.image(target.image)
        return {target.image}
    found: set[str] = set()
    for collection_id in _collection_ids(store):
        items = journal.unfinished_items(store, collection_id)
        key, name = layout.collection_manifest(collection_id), f"collections/{collection_id}"
        with suppress(NotFound):
            items += read_items(store, Collection.load(store, key, name))
        found |= {item.sha256 for item in items if item.post == target.post} - {""}
    return found


def _bury_post(store: Store, shortcode: str, images: set[str]) -> set[str]:
    """Leaves the post's tombstone, with these hashes and those that it has; returns them all."""
    key = layout.forgotten_post(shortcode)
    while True:
        try:
            data, etag = store.get_with_etag(key)
        except ObjectNotFound:
            there, before = Tombstone(time=now()), None
        else:
            there, before = Tombstone.from_bytes(data, key), etag
        every = images | set(there.images)
        written = there.model_copy(update={"images": tuple(sorted(every))})
        if before is not None and written == there:
            return every
        try:
            store.put(key, written.to_bytes(), if_none_match=before is None, if_match=before)
        except PreconditionFailed:
            continue
        return every


def _bury(store: Store, key: str) -> None:
    if not store.exists(key):
        with suppress(PreconditionFailed):  # somebody else did
            store.put(key, Tombstone(time=now()).to_bytes(), if_none_match=True)


def _collection_ids(store: Store) -> Iterator[str]:
    """Ids of all collections, unfinished ones included."""
    last = ""
    for info in store.iterate("collections/"):
        found = info.key.split("/")[1]
        if found != last:
            last = found
            yield found
