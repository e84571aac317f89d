"""What every store checks, and the words in which every store refuses."""

from __future__ import annotations

from tagloom.errors import InvalidArgument
from tagloom.store.interface import ObjectNotFound, PreconditionFailed

__all__ = ["changed", "check_limit", "check_preconditions", "check_range", "not_found"]


def check_range(key: str, size: int, start: int, length: int | None) -> None:
    """Raises InvalidArgument (RANGE_OUT_OF_BOUNDS) unless 0 <= start <= size and length >= 0."""
    if not 0 <= start <= size or (length is not None and length < 0):
        asked = f"start={start}, length={length}"
        raise InvalidArgument(
            f"The object {key!r} has {size} bytes and no range {asked}; ask for one inside.",
            reason="RANGE_OUT_OF_BOUNDS",
            key=key,
            size=size,
        )


def check_limit(limit: int) -> None:
    """Raises InvalidArgument (PAGE_SIZE_INVALID) unless a page holds something."""
    if limit < 1:
        raise InvalidArgument(
            f"A page of {limit} objects is asked for; ask for at least one.",
            reason="PAGE_SIZE_INVALID",
        )


def check_preconditions(if_none_match: bool, if_match: str | None) -> None:
    """Raises InvalidArgument (PRECONDITIONS_CONTRADICT) when both are asked for."""
    if if_none_match and if_match is not None:
        raise InvalidArgument(
            "A write cannot ask that the object be absent and that it be the one that was read; "
            "give if_none_match or if_match, not both.",
            reason="PRECONDITIONS_CONTRADICT",
        )


def not_found(key: str, url: str) -> ObjectNotFound:
    """The error for a key under which nothing lies."""
    return ObjectNotFound(
        f"There is no object {key!r} in the store {url}; check the name.",
        reason="OBJECT_NOT_FOUND",
        key=key,
    )


def changed(key: str, how: str) -> PreconditionFailed:
    """The error for a write whose precondition does not hold."""
    return PreconditionFailed(
        f"The object {key!r} {how}; read it again and decide anew.",
        reason="PRECONDITION_FAILED",
        key=key,
    )
