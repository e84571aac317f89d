"""The books of a collection while it is filled: every item once, every image stored once."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime

from pydantic import ValidationError

from services.scraper.intake import Photo, Refusal
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

    def add(
        self,
        taken: Photo | Refusal,
        *,
        source: str,
        post: str = "",
        owner: str = "",
        tags: tuple[str, ...] = (),
        time: datetime | None = None,
    ) -> Item:
        """Stores a photo's bytes under their hash, if they are not there, and notes the item.

        `time` is what the source tells; without it the photo's or refusal's own counts.
        """
        sha256, size, state, reason, detail = "", 0, "stored", "", ""
        if isinstance(taken, Refusal):
            size, state, reason, detail = taken.size, taken.state, taken.reason, taken.detail
        else:
            sha256, size = hashlib.sha256(taken.data).hexdigest(), len(taken.data)
            if sha256 in self._first:
                state, detail = "duplicate", f"The same bytes as {self._first[sha256]}."
            else:
                self._put_image(sha256, taken.data)
                self._first[sha256] = source
        item = Item.model_validate(
            {
                "state": state,
                "source": source,
                "reason": reason,
                "detail": detail,
                "sha256": sha256,
                "size": size,
                "post": post,
                "owner": owner,
                "tags": tags,
                "time": time if time is not None else taken.time,
            }
        )
        self.items.append(item)
        return item

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
