"""Lists come in pages (AIP-158): one rule for the size of a page in every service."""

from __future__ import annotations

from tagloom.errors import InvalidArgument

__all__ = ["page_size"]


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
