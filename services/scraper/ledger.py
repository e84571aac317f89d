"""The books of a collection while it is filled: every item once, every image stored once."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime

from pydantic import ValidationError

from services.scraper.intake import Kept, Photo, Refusal
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.collection import Collection, Item, Source, content_hash
from tagloom.errors import DataLoss
from tagloom.store.interface import PreconditionFailed, Store

__all__ = ["Ledger", "from_line", "from_lines", "to_lines"]


class Ledger:
    """Takes what a source offers, in order, and commits it as a collection.

    `items` are those that a former attempt has already written down.
    """

    def __init__(self, store: Store, items: Iterable[Item] = ()) -> None:
        self._store = store
        self.items: list[Item] = list(items)
        self._first = {item.sha256: item.source for item in self.items if item.state == "stored"}

    @property
    def counts(self) -> Counter[str]:
        """How many items are in which state."""
        return Counter(item.state for item in self.items)

    def keep(self, taken: Photo | Kept | Refusal) -> Kept | Refusal:
        """Stores a photo's bytes under their hash, if they are not there. Safe in any thread."""
        if not isinstance(taken, Photo):
            return taken
        sha256 = hashlib.sha256(taken.data).hexdigest()
        self._put_image(sha256, taken.data)
        return Kept(sha256, len(taken.data), taken.time)

    def add(
        self,
        taken: Photo | Kept | Refusal,
        *,
        source: str,
        post: str = "",
        owner: str = "",
        tags: tuple[str, ...] = (),
        time: datetime | None = None,
        permalink: str = "",
    ) -> Item:
        """Keeps a photo and notes the item.

        `time` is what the source tells; without it the photo's or refusal's own counts.
        """
        taken = self.keep(taken)
        sha256, state, reason, detail = "", "stored", "", ""
        if isinstance(taken, Refusal):
            state, reason, detail = taken.state, taken.reason, taken.detail
        else:
            sha256 = taken.sha256
            if sha256 in self._first:
                state, detail = "duplicate", _same_as(self._first[sha256])
            else:
                self._first[sha256] = source
        item = Item.model_validate(
            {
                "state": state,
                "source": source,
                "reason": reason,
                "detail": detail,
                "sha256": sha256,
                "size": taken.size,
                "post": post,
                "owner": owner,
                "tags": tags,
                "time": time if time is not None else taken.time,
                "permalink": permalink,
            }
        )
        self.items.append(item)
        return item

    def arrange(self, order: Mapping[str, int]) -> None:
        """Sorts the items by the number of their source, for sources that answer in any order:
        the first of several with the same bytes is the one that counts as stored."""
        self.items.sort(key=lambda item: order[item.source])
        self._first = {}
        for number, item in enumerate(self.items):
            if not item.sha256:
                continue
            first = self._first.setdefault(item.sha256, item.source)
            state = "stored" if first == item.source else "duplicate"
            detail = "" if state == "stored" else _same_as(first)
            if (state, detail) != (item.state, item.detail):
                changed = {"state": state, "detail": detail}
                self.items[number] = item.model_copy(update=changed)

    def commit(self, collection_id: str, source: Source) -> Collection:
        """Writes the items, then the manifest: from now on the collection exists.

        AlreadyExists (RESOURCE_EXISTS) if another collection took the id meanwhile.
        """
        counts = self.counts
        collection = Collection(
            id=collection_id,
            create_time=now(),
            source=source,
            stored=counts["stored"],
            duplicates=counts["duplicate"],
            skipped=counts["skipped"],
            refused=counts["refused"],
            content_sha256=content_hash(i.sha256 for i in self.items if i.state == "stored"),
        )
        self._store.put(layout.collection_items(collection_id), to_lines(self.items))
        collection.create(
            self._store, layout.collection_manifest(collection_id), f"collections/{collection_id}"
        )
        return collection

    def _put_image(self, sha256: str, data: bytes) -> None:
        key = layout.image(sha256)
        if not self._store.exists(key):
            with suppress(PreconditionFailed):  # another collection stored the same photo
                self._store.put(key, data, if_none_match=True)


def _same_as(source: str) -> str:
    return f"The same bytes as {source}."


def to_lines(items: Iterable[Item]) -> bytes:
    """JSON Lines, UTF-8."""
    return b"".join(item.model_dump_json(exclude_defaults=True).encode() + b"\n" for item in items)


def from_line(line: bytes) -> Item:
    """One line of `to_lines`. DataLoss (DAMAGED_DOCUMENT) if it is damaged."""
    try:
        return Item.model_validate_json(line)
    except ValidationError as error:
        raise DataLoss(
            "The list of a collection's items is damaged; collect it again under another id.",
            reason="DAMAGED_DOCUMENT",
        ) from error


def from_lines(data: bytes) -> Iterator[Item]:
    """The inverse of `to_lines`."""
    return map(from_line, data.splitlines())
