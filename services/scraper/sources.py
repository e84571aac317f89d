"""Each source in turn: what it offers goes into the books of a collection."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from services.scraper import folder
from services.scraper.instagram.collect import collect_instagram
from services.scraper.instagram.feed import describe
from services.scraper.instagram.settings import InstagramSettings
from services.scraper.journal import Journal
from services.scraper.ledger import Ledger
from services.scraper.prefix import check_prefix, collect_prefix
from services.scraper.signatures import PHOTO_FORMATS
from services.scraper.traffic import TrafficLog
from services.scraper.web.collect import PASSING, collect_urls
from services.scraper.web.lists import list_hash, read_list, unique
from services.scraper.web.settings import WebSettings
from services.scraper.zip_file import ZipPhotos
from tagloom.artifacts.collection import (
    FolderSource,
    HashtagSource,
    Item,
    ProfileSource,
    S3Source,
    Source,
    UrlsSource,
    ZipSource,
)
from tagloom.errors import FailedPrecondition, InvalidArgument
from tagloom.folders import check_file, check_folder
from tagloom.progress import Report
from tagloom.store.interface import Store

__all__ = ["CollectRequest", "Filled", "check_source", "fill", "with_list"]

_LINKS = ("SYMLINK_OUTSIDE", "SYMLINK_TO_FOLDER", "BROKEN_LINK")


@dataclass(frozen=True, slots=True)
class CollectRequest:
    """What to collect, and what the server allows."""

    collection_id: str
    source: Source
    urls: tuple[str, ...] = ()
    """the addresses themselves, when the source names no file of them"""
    frames_per_video: int = 0
    """0: videos are skipped"""
    folder_roots: tuple[Path, ...] | None = None
    """a folder or file must lie in one of these; None: it may lie anywhere"""
    s3_prefixes: tuple[str, ...] | None = None
    """an S3 prefix must lie in one of these; None: it may be any"""
    traffic_log: Path | None = None
    """a file to note requests in, for metrics; None: nowhere"""


@dataclass(frozen=True, slots=True)
class Filled:
    """What came of a source."""

    ledger: Ledger
    where: str
    """what the source is called, at the beginning of a sentence"""
    advice: str
    """what to do if there is no photo in it"""
    order: Mapping[str, int] | None = None
    """a number for each origin, for sources that answer in any order"""
    dropped: frozenset[str] = frozenset()
    """origins of former items that new ones stand for"""


def check_source(store: Store, request: CollectRequest) -> None:
    """Refuses at once what can be seen at once. Raises as `fill` does."""
    match request.source:
        case FolderSource(path=path):
            check_folder(path, request.folder_roots)
        case ZipSource(path=path) | UrlsSource(path=path) if path:
            check_file(path, request.folder_roots)
        case S3Source(url=url):
            check_prefix(store, url, request.s3_prefixes)


def with_list(request: CollectRequest) -> CollectRequest:
    """The request with a list of addresses in it, and what identifies the list in its source.

    Raises as `check_file`, `read_list` and `unique` do.
    """
    source = request.source
    if not isinstance(source, UrlsSource):
        return request
    if source.path:
        urls = read_list(check_file(source.path, request.folder_roots))
    else:
        urls = unique(request.urls, "The request")
    listed = source.model_copy(update={"sha256": list_hash(urls), "count": len(urls)})
    return dataclasses.replace(request, source=listed, urls=urls)


def fill(
    store: Store,
    request: CollectRequest,
    begun: Journal,
    former: list[Item],
    traffic: TrafficLog,
    report: Report,
) -> Filled:
    """Takes what the source offers and is in neither `begun` nor `former` (the collection that is
    updated).

    Raises what `check_source` does, InvalidArgument (FOLDER_IS_STORE, ZIP_INVALID),
    FailedPrecondition (FOLDER_EMPTY, PREFIX_EMPTY), and what the store and Instagram raise.
    """
    photos = ", ".join(PHOTO_FORMATS)
    match request.source:
        case FolderSource(path=path) as source:
            ledger = _ledger(store, request, begun, former)
            _take_folder(store, ledger, source, request.folder_roots, report)
            advice = f"put {photos} files there"
            if any(item.reason in _LINKS for item in ledger.items):
                advice += (
                    ", the files themselves: links that lead out of the folder are not followed"
                )
            return Filled(ledger, f"The folder {path}", advice)
        case ZipSource(path=path):
            ledger = _ledger(store, request, begun, former)
            _take_zip(ledger, check_file(path, request.folder_roots), report)
            return Filled(ledger, f"The zip {path}", f"put {photos} files into it")
        case S3Source(url=url):
            check_prefix(store, url, request.s3_prefixes)
            ledger = _ledger(store, request, begun, former)
            collect_prefix(store, ledger, begun, url, report)
            return Filled(ledger, f"The prefix {url}", f"put {photos} objects there")
        case UrlsSource():
            again = frozenset(item.origin for item in former if item.reason in PASSING)
            rest = [item for item in former if item.origin not in again]
            ledger = _ledger(store, request, begun, rest)
            settings = WebSettings.from_environment()
            collect_urls(ledger, begun, request.urls, settings, traffic, report)
            order = {url: number for number, url in enumerate(request.urls)}
            advice = f"list addresses of {photos} images"
            return Filled(ledger, "The list of addresses", advice, order, again)
        case HashtagSource() | ProfileSource() as source:
            account = InstagramSettings.from_environment()
            ledger = _ledger(store, request, begun, former)
            collect_instagram(store, ledger, begun, source, account, traffic, report, former)
            return Filled(ledger, f"The {describe(source)}", "choose another one")


def _ledger(store: Store, request: CollectRequest, begun: Journal, former: list[Item]) -> Ledger:
    return Ledger(store, [*former, *begun.items], frames_per_video=request.frames_per_video)


def _take_folder(
    store: Store,
    ledger: Ledger,
    source: FolderSource,
    roots: tuple[Path, ...] | None,
    report: Report,
) -> None:
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
    known = ledger.known
    for index, entry in enumerate(found):
        report("collect", index, len(found), entry.source)
        if entry.source in known and folder.time_of(entry) == known[entry.source].time:
            continue
        ledger.add(folder.read(entry), source=entry.source)
    report("collect", len(found), len(found))


def _take_zip(ledger: Ledger, path: Path, report: Report) -> None:
    known = ledger.known
    with ZipPhotos.open(path) as photos:
        entries = photos.entries
        for index, info in enumerate(entries):
            report("collect", index, len(entries), info.filename)
            if info.filename not in known or photos.time_of(info) != known[info.filename].time:
                ledger.add(photos.read(info), source=info.filename)
        report("collect", len(entries), len(entries))


def _local_folder(store: Store) -> Path | None:
    """Where a local store lies, by its URL; None for any other store."""
    url = urlsplit(store.url)
    if url.scheme not in ("", "file"):
        return None
    return Path(unquote(url.path)).resolve()
