"""Fills a collection: the whole of CreateCollection's work, whatever the source."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from services.scraper import folder, journal
from services.scraper.instagram.collect import collect_instagram
from services.scraper.instagram.feed import describe
from services.scraper.instagram.settings import InstagramSettings
from services.scraper.ledger import Ledger
from services.scraper.prefix import check_prefix, collect_prefix
from services.scraper.signatures import PHOTO_FORMATS
from services.scraper.traffic import TrafficLog
from services.scraper.web.collect import collect_urls
from services.scraper.web.lists import list_hash, read_list, unique
from services.scraper.web.settings import WebSettings
from services.scraper.zip_file import ZipPhotos
from tagloom.artifacts import layout
from tagloom.artifacts.collection import (
    Collection,
    FolderSource,
    HashtagSource,
    ProfileSource,
    S3Source,
    Source,
    UrlsSource,
    ZipSource,
)
from tagloom.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from tagloom.folders import check_file, check_folder
from tagloom.progress import Report, silent
from tagloom.store.interface import Store

__all__ = ["CollectRequest", "check_source", "collect"]


_LINKS = ("SYMLINK_OUTSIDE", "SYMLINK_TO_FOLDER", "BROKEN_LINK")


@dataclass(frozen=True, slots=True)
class CollectRequest:
    """What to collect, and what the server allows."""

    collection_id: str
    source: Source
    urls: tuple[str, ...] = ()
    """the addresses themselves, when the source names no file of them"""
    folder_roots: tuple[Path, ...] | None = None
    """a folder or file must lie in one of these; None: it may lie anywhere"""
    s3_prefixes: tuple[str, ...] | None = None
    """an S3 prefix must lie in one of these; None: it may be any"""
    traffic_log: Path | None = None
    """a file to note requests in, for metrics; None: nowhere"""


def check_source(store: Store, request: CollectRequest) -> None:
    """Refuses at once what can be seen at once. Raises as `collect` does."""
    match request.source:
        case FolderSource(path=path):
            check_folder(path, request.folder_roots)
        case ZipSource(path=path) | UrlsSource(path=path) if path:
            check_file(path, request.folder_roots)
        case S3Source(url=url):
            check_prefix(store, url, request.s3_prefixes)


def collect(store: Store, request: CollectRequest, report: Report = silent) -> Collection:
    """Collects photos and returns the collection, which exists from its last write on.

    Images are written as they come, under their hash; run again after a kill at any point, it ends
    with the same collection. One that exists and came from the same source is returned as it is.
    Instagram is reached as `InstagramSettings.from_environment` says, other hosts as `WebSettings`
    do, so that no secret travels with the request.

    Raises InvalidArgument (INVALID_ID, FOLDER_IS_STORE, ZIP_INVALID, …), what `check_folder`,
    `check_file` and `check_prefix` raise, AlreadyExists (RESOURCE_EXISTS: from another source),
    FailedPrecondition (FOLDER_EMPTY, PREFIX_EMPTY, URL_LIST_EMPTY, NO_PHOTOS), and what the store
    and Instagram raise.
    """
    collection_id = layout.check_id(request.collection_id, "collection_id")
    if isinstance(request.source, UrlsSource):
        request = _with_list(request, request.source)
    done = _existing(store, request)
    if done is not None:
        return done
    source = request.source
    begun = journal.Journal(store, collection_id, source)
    with contextlib.closing(TrafficLog(request.traffic_log)) as traffic:
        ledger, where, advice = _filled(store, request, begun, traffic, report)
    if not ledger.counts["stored"]:
        begun.remove()  # another try starts afresh
        raise _no_photos(where, ledger, advice)
    collection = ledger.commit(collection_id, source)
    begun.remove()
    return collection


def _filled(
    store: Store,
    request: CollectRequest,
    begun: journal.Journal,
    traffic: TrafficLog,
    report: Report,
) -> tuple[Ledger, str, str]:
    """The books of the source, what it is called, and what to do if there is no photo in it."""
    photos = ", ".join(PHOTO_FORMATS)
    match request.source:
        case FolderSource(path=path) as source:
            ledger = _collect_folder(store, source, request.folder_roots, report)
            advice = f"put {photos} files there"
            if any(item.reason in _LINKS for item in ledger.items):
                advice += (
                    ", the files themselves: links that lead out of the folder are not followed"
                )
            return ledger, f"The folder {path}", advice
        case ZipSource(path=path):
            ledger = _collect_zip(store, check_file(path, request.folder_roots), report)
            return ledger, f"The zip {path}", f"put {photos} files into it"
        case S3Source(url=url):
            check_prefix(store, url, request.s3_prefixes)
            ledger = collect_prefix(store, begun, url, report)
            return ledger, f"The prefix {url}", f"put {photos} objects there"
        case UrlsSource():
            settings = WebSettings.from_environment()
            ledger = collect_urls(store, begun, request.urls, settings, traffic, report)
            return ledger, "The list of addresses", f"list addresses of {photos} images"
        case HashtagSource() | ProfileSource() as source:
            account = InstagramSettings.from_environment()
            ledger = collect_instagram(store, begun, source, account, traffic, report)
            return ledger, f"The {describe(source)}", "choose another one"


def _with_list(request: CollectRequest, source: UrlsSource) -> CollectRequest:
    """The request with the list in it, and what identifies the list in its source."""
    if source.path:
        urls = read_list(check_file(source.path, request.folder_roots))
    else:
        urls = unique(request.urls, "The request")
    listed = source.model_copy(update={"sha256": list_hash(urls), "count": len(urls)})
    return dataclasses.replace(request, source=listed, urls=urls)


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
    return ledger


def _collect_zip(store: Store, path: Path, report: Report) -> Ledger:
    ledger = Ledger(store)
    with ZipPhotos.open(path) as photos:
        entries = photos.entries
        for index, info in enumerate(entries):
            report("collect", index, len(entries), info.filename)
            ledger.add(photos.read(info), source=info.filename)
        report("collect", len(entries), len(entries))
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
