"""Where a photo came from, as short as a reader can still tell it from others."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

__all__ = ["Source", "source_of"]


@dataclass(frozen=True, slots=True)
class Source:
    """One photo's origin."""

    name: str
    """a path's or an address's last part; of several pictures of a post, which"""
    whole: str
    link: str
    """the address to open; empty when it is none of the web"""


def source_of(source: str) -> Source:
    """The second picture of an Instagram post is `CODE, 2`; `photos/cats/7.jpg`, `7.jpg`."""
    try:
        address = urlsplit(source)
        web = address.scheme in ("http", "https") and bool(address.netloc)
    except ValueError:
        web = False
    if not web:
        return Source(source.rsplit("/", 1)[-1] or source, source, "")
    name = address.path.rstrip("/").rsplit("/", 1)[-1] or address.netloc
    place = parse_qs(address.query).get("img_index", [""])[0]
    return Source(f"{name}, {place}" if place.isdecimal() else name, source, source)
