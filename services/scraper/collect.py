"""Fills a collection: the whole of CreateCollection's work, whatever the source."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from services.scraper import folder
from services.scraper.instagram import journal
from services.scraper.instagram.collect import collect_instagram
from services.scraper.instagram.feed import describe
from services.scraper.instagram.settings import InstagramSettings
from services.scraper.ledger import Ledger
from services.scraper.signatures import PHOTO_FORMATS
from services.scraper.traffic import TrafficLog
from tagloom.artifacts import layout
from tagloom.artifacts.collection import (
    Collection,
    FolderSource,
    HashtagSource,
    ProfileSource,
    Source,
)
from tagloom.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from tagloom.folders import check_folder
from tagloom.progress import Report, silent
from tagloom.store.interface import Store

__all__ = ["CollectRequest", "collect"]


_LINKS = ("SYMLINK_OUTSIDE", "SYMLINK_TO_FOLDER", "BROKEN_LINK")


@dataclass(frozen=True, slots=True)
class CollectRequest:
    """What to collect, and what the server allows."""

    collection_id: str
    source: Source
    folder_roots: tuple[Path, ...] | None = None
    """a folder must lie in one of these; None: it may lie anywhere"""
    traffic_log: Path | None = None
    """a file to note requests in, for metrics; None: nowhere"""


def collect(store: Store, request: CollectRequest, report: Report = silent) -> Collection:
    """Collects photos and returns the collection, which exists from its last write on.

    Images are written as they come, under their hash; run again after a kill at any point, it ends
    with the same collection. One that exists and came from the same source is returned as it is.
    Instagram is reached as `InstagramSettings.from_environment` says, so that no secret travels
    with the request.

    Raises InvalidArgument (INVALID_ID, FOLDER_INVALID, NOT_A_FOLDER, FOLDER_IS_STORE), NotFound
    (FOLDER_NOT_FOUND), PermissionDenied (FOLDER_NOT_ALLOWED, FOLDER_UNREADABLE), AlreadyExists
    (RESOURCE_EXISTS: from another source), FailedPrecondition (FOLDER_EMPTY, NO_PHOTOS), and what
    the store and Instagram raise.
    """
    collection_id = layout.check_id(request.collection_id, "collection_id")
    done = _existing(store, request)
    if done is not None:
        return done
    source = request.source
    if isinstance(source, FolderSource):
        ledger = _collect_folder(store, source, request.folder_roots, report)
        return ledger.commit(collection_id, source)
    return _collect_instagram(store, collection_id, source, request.traffic_log, report)


def _existing(store: Store, request: CollectRequest) -> Collection | None:
    name = f"collections/{request.collection_id}"
    key = layout.collection_manifest(request.collection_id)
    try:
        found = Collection.load(store, key, name)
    except NotFound:
        return None
    if found.source != request.source:
        raise AlreadyExists(
            f"{name} exists already, from another source; choose another id or remove it first.",
            reason="RESOURCE_EXISTS",
            resource=name,
        )
    journal.remove(store, request.collection_id)  # killed between the last two writes
    return found


def _collect_instagram(
    store: Store,
    collection_id: str,
    source: HashtagSource | ProfileSource,
    traffic_log: Path | None,
    report: Report,
) -> Collection:
    settings = InstagramSettings.from_environment()
    begun = journal.Journal(store, collection_id, source)
    with contextlib.closing(TrafficLog(traffic_log)) as traffic:
        ledger = collect_instagram(store, begun, source, settings, traffic, report)
    if not ledger.counts["stored"]:
        journal.remove(store, collection_id)  # another try starts afresh
        raise _no_photos(f"The {describe(source)}", ledger, "choose another one")
    collection = ledger.commit(collection_id, source)
    journal.remove(store, collection_id)
    return collection


def _collect_folder(
    store: Store, source: FolderSource, roots: tuple[Path, ...] | None, report: Report
) -> Ledger:
    root = check_folder(source.path, roots)
    store_folder = _local_folder(store)
    if store_folder is not None and root.is_relative_to(store_folder):
        raise InvalidArgument(
            f"{source.path} lies in Tagloom's own store; give the folder that holds the photos.",
            reason="FOLDER_IS_STORE",
            path=source.path,
        )
    report("scan", 0, 0, f"looking through {source.path}")
    found = folder.entries(root, excluded=store_folder)
    if not found:
        raise FailedPrecondition(
            f"The folder {source.path} is empty; put photos into it "
            f"({', '.join(PHOTO_FORMATS)}) or give another one.",
            reason="FOLDER_EMPTY",
            path=source.path,
        )
    ledger = Ledger(store)
    for index, entry in enumerate(found):
        report("collect", index, len(found), entry.source)
        ledger.add(folder.read(entry), source=entry.source)
    report("collect", len(found), len(found))
    if not ledger.counts["stored"]:
        advice = f"put {', '.join(PHOTO_FORMATS)} files there"
        if any(item.reason in _LINKS for item in ledger.items):
            advice += ", the files themselves: links that lead out of the folder are not followed"
        raise _no_photos(f"The folder {source.path}", ledger, advice)
    return ledger


def _no_photos(where: str, ledger: Ledger, advice: str) -> FailedPrecondition:
    counts = ledger.counts
    reasons = sorted({item.reason for item in ledger.items})
    why = f" ({', '.join(reasons)})" if reasons else ""
    return FailedPrecondition(
        f"{where} holds no photo that can be taken: of {len(ledger.items)} items "
        f"{counts['refused']} were refused and {counts['skipped']} skipped{why}; {advice}.",
        reason="NO_PHOTOS",
        items=len(ledger.items),
        refused=counts["refused"],
        skipped=counts["skipped"],
        reasons=",".join(reasons),
    )


def _local_folder(store: Store) -> Path | None:
    """Where a local store lies, by its URL; None for any other store."""
    url = urlsplit(store.url)
    if url.scheme not in ("", "file"):
        return None
    return Path(unquote(url.path)).resolve()
