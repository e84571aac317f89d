"""How far an unfinished collection has come: saved as it goes, read after a kill.

Items lie in parts that are written once, and in the cursor as long as they fill no part; from
Instagram, the cursor also holds Instaloader's frozen iterator, which knows the next post. Each save
is one atomic write of the cursor, so that items and iterator always agree.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from pydantic import Field

from services.scraper.ledger import from_lines, to_lines
from tagloom.artifacts import layout
from tagloom.artifacts.base import Manifest, now
from tagloom.artifacts.collection import Item, Source, UrlsSource
from tagloom.errors import FailedPrecondition
from tagloom.store.interface import ObjectNotFound, Store

__all__ = ["Journal", "drop_finished", "remove", "unfinished_items"]

_PART_ITEMS = 200
_SHELF_LIFE = timedelta(hours=24)
"""Image addresses in a frozen page are signed and expire after some days."""


class _Cursor(Manifest):
    """What `collections/<id>/cursor.json` says."""

    source: Source
    parts: int = 0
    """finished parts, numbered from 0"""
    items: tuple[Item, ...] = ()
    """after the last part"""
    frozen: dict[str, Any] | None = None
    """`FrozenNodeIterator._asdict()`, at the last post taken"""
    frozen_time: datetime = Field(default_factory=now)
    feed: int = 0
    """of several hashtags or profiles, the one that `frozen` is of"""
    base: int = 0
    """the revision that is being updated; 0: the collection is new"""


class Journal:
    """The journal of one collection; opened where a former attempt left it.

    `base`: the revision to update, 0 for a new collection. An update that was begun upon an older
    revision goes on all the same: items are only added. What a finished creation left is dropped.

    Raises FailedPrecondition (COLLECTION_UNFINISHED) if that attempt had another source.
    """

    def __init__(self, store: Store, collection_id: str, source: Source, base: int = 0) -> None:
        self._store = store
        self._id = collection_id
        self._key = layout.collection_cursor(collection_id)
        try:
            self._cursor = _Cursor.from_bytes(store.get(self._key), self._key)
        except ObjectNotFound:
            self._cursor = _Cursor(source=source, base=base)
        if base and not self._cursor.base:
            self.remove()  # the creation was killed after its last write but one
            self._cursor = _Cursor(source=source, base=base)
        if _place(self._cursor.source) != _place(source):
            name = f"collections/{collection_id}"
            raise FailedPrecondition(
                f"{name} was begun from another source and is not finished; collect from that "
                "one again to finish it, remove it, or choose another id.",
                reason="COLLECTION_UNFINISHED",
                resource=name,
            )
        self.items: list[Item] = []
        """all items saved by former attempts"""
        for part in range(self._cursor.parts):
            self.items += from_lines(store.get(layout.collection_items_part(collection_id, part)))
        self.items += self._cursor.items

    @property
    def frozen(self) -> dict[str, Any] | None:
        """The frozen iterator, if there is one fresh enough."""
        fresh = now() - self._cursor.frozen_time < _SHELF_LIFE
        return self._cursor.frozen if fresh else None

    @property
    def feed(self) -> int:
        """Which of several hashtags or profiles it was at, from 0."""
        return self._cursor.feed

    def save(
        self, new_items: list[Item], frozen: dict[str, Any] | None = None, feed: int = 0
    ) -> None:
        """Some items are done; `frozen` is where to go on, for sources that have an order."""
        parts, items = self._cursor.parts, (*self._cursor.items, *new_items)
        if len(items) >= _PART_ITEMS:
            # The part first. If this is as far as it gets, the old cursor counts, and the part
            # is written again later.
            self._store.put(layout.collection_items_part(self._id, parts), to_lines(items))
            parts, items = parts + 1, ()
        self._write(parts=parts, items=items, frozen=frozen, frozen_time=now(), feed=feed)

    def remove(self) -> None:
        """Forget it all: the collection is complete."""
        remove(self._store, self._id)

    def _write(self, **changes: Any) -> None:
        cursor = self._cursor.model_copy(update=changes)
        self._store.put(self._key, cursor.to_bytes())
        self._cursor = cursor


def drop_finished(store: Store, collection_id: str) -> None:
    """Remove the journal of a creation that is complete; not that of an update under way."""
    key = layout.collection_cursor(collection_id)
    with suppress(ObjectNotFound):
        if not _Cursor.from_bytes(store.get(key), key).base:
            remove(store, collection_id)


def unfinished_items(store: Store, collection_id: str) -> list[Item]:
    """What a collection or update that is not finished has met so far."""
    key = layout.collection_cursor(collection_id)
    try:
        cursor = _Cursor.from_bytes(store.get(key), key)
        parts = range(cursor.parts)
        data = [store.get(layout.collection_items_part(collection_id, part)) for part in parts]
    except ObjectNotFound:
        return []  # none, or it has just been finished
    return [*(item for part in data for item in from_lines(part)), *cursor.items]


def _place(source: Source) -> Source:
    """A list of addresses may change while it is worked off: it is known by its file."""
    if isinstance(source, UrlsSource) and source.path:
        return UrlsSource(path=source.path)
    return source


def remove(store: Store, collection_id: str) -> None:
    """Remove what a journal left in the store, if anything."""
    # The cursor first: it must never name a part that is gone.
    store.delete(layout.collection_cursor(collection_id))
    for info in list(store.iterate(layout.collection_parts_prefix(collection_id))):
        store.delete(info.key)
