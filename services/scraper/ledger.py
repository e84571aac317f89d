"""The books of a collection while it is filled: every item once, every image stored once."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from services.scraper.films import sample
from services.scraper.intake import FORGOTTEN, Film, Frames, Kept, Photo, Refusal
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.collection import Collection, Item, Source, content_hash, read_items
from tagloom.artifacts.forgotten import Forgotten
from tagloom.errors import DataLoss, Unavailable
from tagloom.store.interface import PreconditionFailed, Store

__all__ = ["Ledger", "arranged", "from_line", "from_lines", "revise", "to_lines"]

_ATTEMPTS = 16


class Ledger:
    """Takes what a source offers, in order, and commits it as a collection.

    `items` are those that were written down before: by a former attempt, or, when a collection is
    updated, in its last revision. `frames_per_video`: 0 skips videos.
    """

    def __init__(
        self, store: Store, items: Iterable[Item] = (), *, frames_per_video: int = 0
    ) -> None:
        self._store = store
        self._frames = frames_per_video
        self.items: list[Item] = list(items)
        self._first = {item.sha256: item.source for item in self.items if item.state == "stored"}
        self.forgotten = Forgotten(store)

    @property
    def counts(self) -> Counter[str]:
        """How many items are in which state."""
        return Counter(item.state for item in self.items)

    @property
    def known(self) -> dict[str, Item]:
        """The latest item of each origin."""
        return {item.origin: item for item in self.items}

    @property
    def wants_films(self) -> bool:
        """Whether videos are worth reading."""
        return self._frames > 0

    def keep(self, taken: Photo | Film | Frames | Kept | Refusal) -> Frames | Kept | Refusal:
        """Stores the bytes of a photo, or of a video's frames, under their hash, if they are not
        there and were never forgotten. Safe in any thread."""
        if isinstance(taken, Film):
            return self._frames_of(taken)
        if not isinstance(taken, Photo):
            return taken
        sha256, size = hashlib.sha256(taken.data).hexdigest(), len(taken.data)
        if not self._put_image(sha256, taken.data):
            return FORGOTTEN
        return Kept(sha256, size, taken.time)

    def add(
        self, taken: Photo | Film | Frames | Kept | Refusal, *, source: str, **details: Any
    ) -> None:
        """Keeps a photo and notes the item, or the item of each frame of a video.

        `details` are further fields of the items; `time` is what the source tells, without it the
        photo's or refusal's own counts.
        """
        taken = self.keep(taken)
        if isinstance(taken, Frames):
            for second, kept in taken.kept:
                place = f"{source}#t={second:.2f}"
                self._note(kept, {**details, "source": place, "second": second})
        else:
            self._note(taken, {**details, "source": source})

    def _note(self, taken: Kept | Refusal, details: dict[str, Any]) -> None:
        source = details["source"]
        sha256, state, reason, detail = "", "stored", "", ""
        if isinstance(taken, Refusal):
            state, reason, detail = taken.state, taken.reason, taken.detail
        else:
            sha256 = taken.sha256
            if sha256 in self._first:
                state, detail = "duplicate", _same_as(self._first[sha256])
            else:
                self._first[sha256] = source
        if taken is FORGOTTEN:  # whose it was is nobody's business any more
            details = {"source": source, "post": details.get("post", "")}
        found = {
            "state": state,
            "reason": reason,
            "detail": detail,
            "sha256": sha256,
            "size": taken.size,
            **details,
        }
        if found.get("time") is None:
            found["time"] = taken.time
        self.items.append(Item.model_validate(found))

    def commit(
        self, collection_id: str, source: Source, order: Mapping[str, int] | None = None
    ) -> Collection:
        """Writes the items, then the manifest: from now on the collection exists.

        `order`: a number for each source, for sources that answer in any order.
        AlreadyExists (RESOURCE_EXISTS) if another collection took the id meanwhile.
        """
        items = arranged(self.items, order)
        collection = Collection(
            id=collection_id,
            create_time=now(),
            source=source,
            frames_per_video=self._frames,
            **_summary(items),
        )
        self._store.put(layout.collection_items(collection_id), to_lines(items))
        collection.create(
            self._store, layout.collection_manifest(collection_id), f"collections/{collection_id}"
        )
        return collection

    def _frames_of(self, film: Film) -> Frames | Refusal:
        if not self._frames:
            return Refusal("skipped", "VIDEO", film.detail, film.size, film.time)
        frames = sample(film.data, self._frames)
        if isinstance(frames, Refusal):
            return frames
        kept = []
        for second, jpeg in frames:
            photo = self.keep(Photo(jpeg, film.time))
            assert isinstance(photo, Kept | Refusal)
            kept.append((second, photo))
        return Frames(tuple(kept))

    def _put_image(self, sha256: str, data: bytes) -> bool:
        """False: the image was forgotten."""
        if sha256 in self.forgotten.images:
            return False
        key = layout.image(sha256)
        if not self._store.exists(key):
            with suppress(PreconditionFailed):  # another collection stored the same photo
                self._store.put(key, data, if_none_match=True)
        # After the write: whoever forgets leaves the tombstone before deleting, so that either
        # they delete what was just written, or it is seen here.
        if self.forgotten.has_image(sha256):
            self._store.delete(key)
            return False
        return True


def revise(store: Store, collection_id: str, change: Any) -> tuple[Collection, bool]:
    """Gives a collection other items, as a new revision, in one step.

    `change`: from the collection and its items to other items, and fields of the manifest to
    change with them; None: nothing is to be changed. It may be called again, when somebody else
    was faster. The former items go. Raises NotFound (RESOURCE_NOT_FOUND).

    Returns the collection, and whether it was changed.
    """
    key, name = layout.collection_manifest(collection_id), f"collections/{collection_id}"
    for _ in range(_ATTEMPTS):
        there, etag = Collection.load_with_etag(store, key, name)
        found = change(there, list(read_items(store, there)))
        if found is None:
            _remove_old_items(store, there)
            return there, False
        items, fields = found
        revision = there.revision + 1
        file = f"items-{revision:06}-{secrets.token_hex(4)}.jsonl"
        written = there.model_copy(
            update={
                **fields,
                **_summary(items),
                "items": file,
                "revision": revision,
                "update_time": now(),
            }
        )
        store.put(layout.collection_items(collection_id, file), to_lines(items))
        try:
            written.replace(store, key, etag)
        except PreconditionFailed:
            store.delete(layout.collection_items(collection_id, file))
            continue
        _remove_old_items(store, written)
        return written, True
    raise Unavailable(
        f"{name} is changed by others all the time; try again later.", reason="COLLECTION_BUSY"
    )


def arranged(items: Iterable[Item], order: Mapping[str, int] | None = None) -> list[Item]:
    """The items by the number of their origin, if there is one; and of several with the same
    bytes, the first counts as stored."""
    found = list(items)
    if order is not None:
        found.sort(key=lambda item: order.get(item.origin, -1))
    first: dict[str, str] = {}
    for number, item in enumerate(found):
        if not item.sha256:
            continue
        stored = item.sha256 not in first
        source = first.setdefault(item.sha256, item.source)
        state, detail = ("stored", "") if stored else ("duplicate", _same_as(source))
        if (state, detail) != (item.state, item.detail):
            found[number] = item.model_copy(update={"state": state, "detail": detail})
    return found


def _summary(items: Iterable[Item]) -> dict[str, Any]:
    """What a manifest says of its items."""
    items = list(items)
    counts = Counter(item.state for item in items)
    return {
        "stored": counts["stored"],
        "duplicates": counts["duplicate"],
        "skipped": counts["skipped"],
        "refused": counts["refused"],
        "content_sha256": content_hash(i.sha256 for i in items if i.state == "stored"),
    }


def _remove_old_items(store: Store, collection: Collection) -> None:
    """Files of former revisions, also of writers that were killed; never one that is being made."""
    prefix = layout.collection_items(collection.id, "items")
    for info in list(store.iterate(prefix)):
        file = info.key.rpartition("/")[2]
        number = file.split("-")[1] if "-" in file else "1"
        if file != collection.items and int(number) <= collection.revision:
            store.delete(info.key)


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
