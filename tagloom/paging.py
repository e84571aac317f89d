"""Lists come in pages (AIP-158): one rule for sizes and tokens in every service.

A token names the list that gave it and a place in that list, so one that was made up, or that
another list gave, is refused instead of being taken for a place. Clients treat it as opaque.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable

from tagloom.errors import InvalidArgument

__all__ = ["invalid_token", "offset_of", "page_of", "page_size", "place_of", "token_of"]

_SEGMENT = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}"
_PLACE = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT}){{0,3}}")
"""ids, numbers, and keys of them: whatever a token says, it is safe as part of a key"""
_OFFSET = re.compile(r"[1-9][0-9]{0,17}")
_MOST_TOKEN = 2048
"""characters; ours are far shorter"""


def page_size(asked: int, default: int = 100, largest: int = 1000) -> int:
    """The size of a page when `asked` was asked for: 0 means `default`, more is cut to `largest`.

    Raises InvalidArgument (PAGE_SIZE_INVALID) for a negative number.
    """
    if asked < 0:
        raise InvalidArgument(
            f"The page size {asked} is negative; leave it out or write a number up to {largest}.",
            reason="PAGE_SIZE_INVALID",
            field="page_size",
        )
    return min(asked or default, largest)


def token_of(of: str, place: str | int) -> str:
    """The token that leads on in the list called `of`, behind `place`: the last id of the page, or
    how much of the list was given. `of` carries all that decides what is listed (parent, filter).
    """
    digest = hashlib.sha256(of.encode()).hexdigest()[:16]
    return base64.urlsafe_b64encode(f"{place}\n{digest}".encode()).decode().rstrip("=")


def place_of(token: str, of: str) -> str:
    """The place in the list `of` behind which the page begins; "" for an empty token.

    Raises InvalidArgument (PAGE_TOKEN_INVALID) for a token that this list did not give.
    """
    if not token:
        return ""
    place = ""
    if len(token) <= _MOST_TOKEN:
        try:
            data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            place = data.decode().partition("\n")[0]
        except ValueError:  # not ASCII, not base64, not UTF-8
            pass
    # Made anew and compared, so that there is one spelling of each token.
    if not _PLACE.fullmatch(place) or token_of(of, place) != token:
        raise invalid_token(token)
    return place


def offset_of(token: str, of: str) -> int:
    """As `place_of`, for lists whose places are numbers from 1; 0 for an empty token."""
    place = place_of(token, of)
    if place and not _OFFSET.fullmatch(place):
        raise invalid_token(token)
    return int(place or 0)


def page_of(ids: Iterable[str], of: str, size: int, token: str) -> tuple[list[str], str]:
    """The page of up to `size` ids, ascending, that `token` leads to, and the next page's token
    ("" on the last). Ids that came or went between two pages disturb no other.

    Raises InvalidArgument (PAGE_TOKEN_INVALID).
    """
    after = place_of(token, of)
    rest = sorted(entry for entry in ids if entry > after)
    return rest[:size], token_of(of, rest[size - 1]) if len(rest) > size else ""


def invalid_token(token: str) -> InvalidArgument:
    """The error for a token that the list did not give."""
    return InvalidArgument(
        f"The page token {token[:40]!r} is not one that this list gave; pass next_page_token as it "
        "came, with the same parent and filter, or none for the first page.",
        reason="PAGE_TOKEN_INVALID",
        field="page_token",
    )
