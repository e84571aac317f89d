"""A person's marks, matched with the photos of a collection."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.filter.checks import CHECKS
from tagloom.errors import FailedPrecondition, InvalidArgument

__all__ = ["MAX_MARKS", "Mark", "Matched", "match_marks"]

MAX_MARKS = 20_000


@dataclass(frozen=True, slots=True)
class Mark:
    """What a person says of one photo."""

    image: str
    """its SHA-256, its source in the collection, or the last part of that where it is unique"""
    keep: bool
    reason: str = ""
    """of a rejection: the check that should have seen it; empty: any"""


@dataclass(frozen=True, slots=True)
class Matched:
    """Marks by the SHA-256 of the photo, in the order in which they were made."""

    marks: dict[str, Mark]
    unknown: tuple[str, ...]
    """what was marked but is not in the collection"""


def match_marks(marks: Sequence[Mark], sources: Mapping[str, str], collection: str) -> Matched:
    """Which photo each mark is about. `sources`: hash to source of the collection's photos.

    Raises InvalidArgument (TOO_MANY_MARKS, MARK_AMBIGUOUS, MARK_CONTRADICTS, MARK_REASON_UNKNOWN),
    FailedPrecondition (MARKS_MISSING, MARKS_ONE_SIDED).
    """
    if len(marks) > MAX_MARKS:
        raise InvalidArgument(
            f"{len(marks):,} marks are more than the {MAX_MARKS:,} that one tuning takes; a "
            "thousand tell as much.",
            reason="TOO_MANY_MARKS",
            field="marks",
        )
    names = _names(sources)
    found: dict[str, Mark] = {}
    unknown = []
    for mark in marks:
        if mark.reason and (mark.keep or mark.reason not in CHECKS):
            raise _wrong_reason(mark)
        there = [mark.image] if mark.image in sources else names.get(mark.image, [])
        if not there:
            unknown.append(mark.image)
            continue
        if len(there) > 1:
            raise InvalidArgument(
                f"{len(there)} photos of {collection} are called {mark.image[:200]!r}; mark them "
                "by their path or SHA-256.",
                reason="MARK_AMBIGUOUS",
                image=mark.image[:200],
            )
        other = found.setdefault(there[0], mark)
        if other.keep != mark.keep:
            raise InvalidArgument(
                f"{mark.image[:200]!r} is marked both keep and reject; decide for one.",
                reason="MARK_CONTRADICTS",
                image=mark.image[:200],
            )
        if other.reason != mark.reason:  # two reasons: either check would have done
            found[there[0]] = Mark(other.image, other.keep)
    _refuse_one_sided(found, unknown, collection)
    return Matched(found, tuple(unknown))


def _names(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """Hashes by source and by the last part of it."""
    names: dict[str, list[str]] = defaultdict(list)
    for sha256, source in sources.items():
        for name in {source, source.rsplit("/", 1)[-1]}:
            names[name].append(sha256)
    return names


def _refuse_one_sided(found: Mapping[str, Mark], unknown: Sequence[str], collection: str) -> None:
    if not found:
        none = (
            f"None of the marked photos ({_examples(unknown)}) is in {collection}; mark photos of "
            "this collection by SHA-256, path or file name."
            if unknown
            else f"No photo is marked; mark some of {collection} keep and some reject."
        )
        raise FailedPrecondition(none, reason="MARKS_MISSING", resource=collection)
    keep = sum(mark.keep for mark in found.values())
    if keep in (0, len(found)):
        said, missing = ("keep", "reject") if keep else ("reject", "keep")
        marks = f"All {len(found)} marks of photos in {collection} say"
        if len(found) == 1:
            marks = f"The only mark of a photo in {collection} says"
        elsewhere = f" (not there: {_examples(unknown)})" if unknown else ""
        raise FailedPrecondition(
            f"{marks} {said}{elsewhere}; mark some of its photos {missing} as well: thresholds "
            "can only be told apart where both occur.",
            reason="MARKS_ONE_SIDED",
            resource=collection,
        )


def _examples(unknown: Sequence[str]) -> str:
    more = f" and {len(unknown) - 1:,} more" if len(unknown) > 1 else ""
    return f"{unknown[0][:200]!r}{more}"


def _wrong_reason(mark: Mark) -> InvalidArgument:
    what = (
        "a photo that is kept needs none; leave it empty"
        if mark.keep
        else f"there is no check {mark.reason[:60]!r}; leave it empty, or name one of "
        f"{', '.join(CHECKS)}"
    )
    return InvalidArgument(
        f"The reason for {mark.image[:200]!r} is wrong: {what}.",
        reason="MARK_REASON_UNKNOWN",
        image=mark.image[:200],
    )
