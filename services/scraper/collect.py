"""Fills a collection, or adds to it what is new: the whole of the scraper's long work."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from typing import Any

from services.scraper import journal
from services.scraper.forget import drop_forgotten
from services.scraper.ledger import Ledger, arranged, revise
from services.scraper.sources import CollectRequest, check_source, fill, with_list
from services.scraper.traffic import TrafficLog
from tagloom.artifacts import layout
from tagloom.artifacts.collection import (
    Collection,
    HashtagSource,
    Item,
    ProfileSource,
    UrlsSource,
    read_items,
)
from tagloom.errors import AlreadyExists, FailedPrecondition, NotFound
from tagloom.progress import Report, silent
from tagloom.store.interface import Store

__all__ = ["CollectRequest", "check_source", "collect", "refresh", "refresh_request"]

_EXPLAINED = 2
"""reasons that are explained by an example, where no photo was found"""
_LONGEST_NAME = 80


def collect(store: Store, request: CollectRequest, report: Report = silent) -> Collection:
    """Collects photos and returns the collection, which exists from its last write on.

    Images are written as they come, under their hash; run again after a kill at any point, it ends
    with the same collection. One that exists and came from the same source is returned as it is.
    Instagram is reached as `InstagramSettings.from_environment` says, other hosts as `WebSettings`
    do, so that no secret travels with the request.

    Raises InvalidArgument (INVALID_ID), AlreadyExists (RESOURCE_EXISTS: from another source),
    FailedPrecondition (NO_PHOTOS), and what `sources.fill` does.
    """
    collection_id = layout.check_id(request.collection_id, "collection_id")
    request = with_list(request)
    done = _existing(store, request)
    if done is not None:
        return done
    begun = journal.Journal(store, collection_id, request.source)
    with contextlib.closing(TrafficLog(request.traffic_log)) as traffic:
        filled = fill(store, request, begun, [], traffic, report)
    if not filled.ledger.counts["stored"]:
        begun.remove()  # another try starts afresh
        raise _no_photos(filled.where, filled.ledger, filled.advice)
    collection = filled.ledger.commit(collection_id, request.source, filled.order)
    begun.remove()
    return drop_forgotten(store, collection)


def refresh(
    store: Store, request: CollectRequest, max_posts: int = 0, report: Report = silent
) -> Collection:
    """Adds to a collection what its source has and it has not; nothing is taken away.

    `request` is as `refresh_request` gives it. `max_posts`: of each hashtag or profile, new ones;
    0: as many as the collection was allowed. Addresses that could not be had for a reason that may
    pass are asked again. Run again after a kill at any point, it ends with the same collection.

    Raises NotFound (RESOURCE_NOT_FOUND), and what `sources.fill` does.
    """
    name = f"collections/{request.collection_id}"
    key = layout.collection_manifest(request.collection_id)
    there = Collection.load(store, key, name)
    source = request.source
    if max_posts and isinstance(source, HashtagSource | ProfileSource):
        source = source.model_copy(update={"max_posts": max_posts})
    request = with_list(dataclasses.replace(request, source=source))
    former = list(read_items(store, there))
    begun = journal.Journal(store, there.id, request.source, base=there.revision)
    with contextlib.closing(TrafficLog(request.traffic_log)) as traffic:
        filled = fill(store, request, begun, former, traffic, report)
    known = {_identity(item) for item in former}
    new = [item for item in filled.ledger.items if _identity(item) not in known]

    def change(now: Collection, items: list[Item]) -> tuple[list[Item], dict[str, Any]] | None:
        there = {_identity(item) for item in items}
        added = [item for item in new if _identity(item) not in there]
        if not added:
            return None
        asked_again = {item.origin for item in added} & filled.dropped
        rest = [item for item in items if item.origin not in asked_again]
        fields: dict[str, Any] = {}
        if isinstance(request.source, UrlsSource):
            fields["source"] = request.source
        return arranged([*rest, *added], filled.order), fields

    collection, _ = revise(store, there.id, change)
    begun.remove()
    return drop_forgotten(store, collection)


def refresh_request(store: Store, name: str, request: CollectRequest) -> CollectRequest:
    """`request`, with the source that the collection has.

    Raises NotFound (RESOURCE_NOT_FOUND), FailedPrecondition (SOURCE_NOT_KEPT).
    """
    (collection_id,) = layout.parse_name(name, "collections/{}")
    there = Collection.load(store, layout.collection_manifest(collection_id), name)
    if isinstance(there.source, UrlsSource) and not there.source.path:
        raise FailedPrecondition(
            f"The addresses of {name} came with its request and were not kept; put them into a "
            "file on the server's machine, and collect that one.",
            reason="SOURCE_NOT_KEPT",
            resource=name,
        )
    return dataclasses.replace(
        request,
        collection_id=collection_id,
        source=there.source,
        frames_per_video=there.frames_per_video,
    )


def _identity(item: Item) -> tuple[str, str, str, str]:
    return item.source, item.sha256, item.reason, str(item.time)


def _existing(store: Store, request: CollectRequest) -> Collection | None:
    name = f"collections/{request.collection_id}"
    key = layout.collection_manifest(request.collection_id)
    try:
        found = Collection.load(store, key, name)
    except NotFound:
        return None
    if (found.source, found.frames_per_video) != (request.source, request.frames_per_video):
        raise AlreadyExists(
            f"{name} exists already, from another source; choose another id or remove it first.",
            reason="RESOURCE_EXISTS",
            resource=name,
        )
    journal.drop_finished(store, request.collection_id)  # killed between the last two writes
    return found


def _no_photos(where: str, ledger: Ledger, advice: str) -> FailedPrecondition:
    # Where nothing is stored there is no collection to look up: the sentence has to say it all.
    first = {item.reason: item for item in reversed(ledger.items)}
    counts = Counter(item.reason for item in ledger.items).most_common()
    found = [
        f"{number:,} {reason}" + (_example(first[reason]) if place < _EXPLAINED else "")
        for place, (reason, number) in enumerate(counts)
    ]
    return FailedPrecondition(
        f"{where} holds no photo that can be taken, but {', '.join(found)}; {advice}."
        if found
        else f"{where} holds nothing; {advice}.",
        reason="NO_PHOTOS",
        items=len(ledger.items),
        refused=ledger.counts["refused"],
        skipped=ledger.counts["skipped"],
        reasons=",".join(sorted(first)),
    )


def _example(item: Item) -> str:
    name = item.source if len(item.source) <= _LONGEST_NAME else f"{item.source[:_LONGEST_NAME]}…"
    return f" ({name}: {item.detail.rstrip('.')})"
