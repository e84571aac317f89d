"""Objects below an S3 prefix as a source: listed, read side by side, in the order of their keys."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from services.scraper.intake import MAX_IMAGE_BYTES, Film, Frames, Kept, Photo, Refusal, judge
from services.scraper.journal import Journal
from services.scraper.ledger import Ledger
from services.scraper.signatures import HEAD_BYTES
from tagloom.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from tagloom.progress import Report
from tagloom.store import ObjectInfo, ObjectNotFound, Store, open_store

__all__ = ["allowed_prefixes", "check_prefix", "collect_prefix"]

_AT_ONCE = 8
_BATCH = 64


def allowed_prefixes(environment: Mapping[str, str], *, loopback: bool) -> tuple[str, ...] | None:
    """What a server may collect from: what `TAGLOOM_S3_SOURCES` lists, separated by spaces;
    without it a server on loopback whatever its credentials open (None), another one nothing.

    Raises InvalidArgument (S3_SOURCES_INVALID).
    """
    listed = environment.get("TAGLOOM_S3_SOURCES", "").split()
    for url in listed:
        if not url.startswith("s3://"):
            raise InvalidArgument(
                f"TAGLOOM_S3_SOURCES names {url!r}; write s3://bucket/prefix, separated by spaces.",
                reason="S3_SOURCES_INVALID",
            )
    if listed:
        return tuple(url.rstrip("/") for url in listed)
    return None if loopback else ()


def check_prefix(store: Store, url: str, allowed: tuple[str, ...] | None) -> None:
    """Raises PermissionDenied (S3_SOURCE_NOT_ALLOWED), InvalidArgument (S3_SOURCE_IS_STORE)."""
    if allowed is not None and not any(_within(url, root) for root in allowed):
        raise PermissionDenied(
            f"{url} is not what this server may collect from; have it added to "
            "TAGLOOM_S3_SOURCES" + (f", which names {', '.join(allowed)}." if allowed else "."),
            reason="S3_SOURCE_NOT_ALLOWED",
            url=url,
        )
    if _within(url, store.url):
        raise InvalidArgument(
            f"{url} lies in Tagloom's own store; give the prefix that holds the photos.",
            reason="S3_SOURCE_IS_STORE",
            url=url,
        )


def collect_prefix(
    store: Store, ledger: Ledger, journal: Journal, url: str, report: Report
) -> None:
    """Takes every object below `url`; those that the ledger has are not read again.

    Raises NotFound (STORE_NOT_FOUND), FailedPrecondition (PREFIX_EMPTY), Cancelled, and what a
    store raises.
    """
    source = open_store(url, create=False)
    report("scan", 0, 0, f"listing {url}")
    own = f"{store.url.removeprefix(url).strip('/')}/" if _within(store.url, url) else None
    found = list(source.iterate())
    if not found:
        raise FailedPrecondition(
            f"There is no object below {url}; give the prefix that holds the photos.",
            reason="PREFIX_EMPTY",
            url=url,
        )
    known = ledger.known
    rest = [i for i in found if i.key not in known or known[i.key].time not in (None, i.modified)]
    done = len(found) - len(rest)

    def take(info: ObjectInfo) -> Frames | Kept | Refusal:
        if own is not None and info.key.startswith(own):
            return Refusal("skipped", "OBJECT_STORE", "Tagloom's own store lies here.")
        return ledger.keep(_read(source, info))

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="read") as threads:
        for start in range(0, len(rest), _BATCH):
            batch = rest[start : start + _BATCH]
            report("collect", done + start, len(found), batch[0].key)
            saved = len(ledger.items)
            for info, taken in zip(batch, threads.map(take, batch), strict=True):
                ledger.add(taken, source=info.key)
            journal.save(ledger.items[saved:])
    report("collect", len(found), len(found))


def _read(source: Store, info: ObjectInfo) -> Photo | Film | Refusal:
    large = info.size > MAX_IMAGE_BYTES
    try:
        data = source.get(info.key, start=0, length=HEAD_BYTES if large else None)
    except ObjectNotFound:
        detail = "The object went away while the prefix was collected."
        return Refusal("refused", "UNREADABLE", detail, info.size, info.modified)
    return judge(data, size=max(info.size, len(data)), time=info.modified, name=info.key)


def _within(url: str, root: str) -> bool:
    return url == root or url.startswith(root.rstrip("/") + "/")
