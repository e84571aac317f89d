"""A class for each photo, from what the collection knows of it: for conditional training.

hashtag: the photo's class is the first of its caption's tags that is a class. Which tags are
classes has to be said: a caption carries a flurry of others.

folder: the first folder of its path, as in `cats/one.jpg`; every folder is a class unless some are
named.

A photo without a class cannot be trained on beside others that have one: it goes, and its verdict
says why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tagloom.artifacts.collection import Item
from tagloom.artifacts.dataset import CheckResult, LabelSource
from tagloom.artifacts.labels import MAX_LABEL_SIZE
from tagloom.errors import FailedPrecondition, InvalidArgument

__all__ = ["LABEL", "Classes", "checked_labels", "classes_of", "label_result"]

LABEL = "label"
"""what a verdict calls the demand that a photo have a class"""
_MAX_NAME = 100
_TOLD = 8


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a dataset in the order of their numbers, and each photo's."""

    names: tuple[str, ...]
    by_sha256: Mapping[str, str]
    """photos without a class are left out"""


def checked_labels(labels: LabelSource | None) -> LabelSource | None:
    """With hashtags as captions carry them. Raises InvalidArgument (CLASSES_INVALID)."""
    if labels is None:
        return None
    names = labels.classes
    if labels.kind == "hashtag":
        names = tuple(name.removeprefix("#").lower() for name in names)
        if len(names) < 2:
            raise _invalid("Labels by hashtag need at least two hashtags as classes; name them.")
    if len(set(names)) != len(names):
        raise _invalid("A class is named twice; name each once.")
    for name in names:
        if not 0 < len(name) <= _MAX_NAME or any(not c.isprintable() or c in "/," for c in name):
            raise _invalid(
                f"{name[:_MAX_NAME]!r} cannot be a class; use 1 to {_MAX_NAME} printable "
                "characters without '/' and ','."
            )
    if len(names) > MAX_LABEL_SIZE:
        raise _invalid(f"There can be at most {MAX_LABEL_SIZE:,} classes.")
    return LabelSource(kind=labels.kind, classes=names)


def classes_of(items: Sequence[Item], labels: LabelSource, collection: str) -> Classes:
    """The classes of a collection's photos.

    An image that was met several times carries the tags of all its posts, and lies in the folder
    where it was met first. Raises FailedPrecondition (CLASS_UNKNOWN, NO_CLASSES).
    """
    found: dict[str, list[str]] = {}
    for item in items:
        if item.sha256:
            candidates = item.tags if labels.kind == "hashtag" else _folder(item.source)
            found.setdefault(item.sha256, []).extend(candidates)
    there = Counter(name for candidates in found.values() for name in set(candidates))
    names = labels.classes or tuple(sorted(there))
    if unknown := [name for name in names if name not in there]:
        what = "hashtags" if labels.kind == "hashtag" else "folders"
        common = ", ".join(name for name, _ in there.most_common(_TOLD)) or "none"
        raise FailedPrecondition(
            f"No photo of {collection} has the class {unknown[0]!r}; its most common {what} are: "
            f"{common}.",
            reason="CLASS_UNKNOWN",
            resource=collection,
            label=unknown[0],
        )
    if len(names) < 2:
        raise FailedPrecondition(
            f"The photos of {collection} lie in fewer than two folders, which makes no classes; "
            "sort them into one folder per class, or leave the labels out.",
            reason="NO_CLASSES",
            resource=collection,
        )
    known = frozenset(names)
    return Classes(
        names,
        {
            sha256: name
            for sha256, candidates in found.items()
            if (name := next((name for name in candidates if name in known), ""))
        },
    )


def label_result(label: str, labels: LabelSource) -> CheckResult:
    """What a verdict says of a photo's class (empty: it has none)."""
    missing = (
        "None of the classes is among the hashtags of its caption."
        if labels.kind == "hashtag"
        else "It lies in none of the folders that are classes."
    )
    return CheckResult(
        check=LABEL,
        score=float(bool(label)),
        unit="boolean",
        threshold=1.0,
        minimum=True,
        passed=bool(label),
        detail="" if label else missing,
    )


def _folder(source: str) -> tuple[str, ...]:
    first, slash, _ = source.partition("/")
    return (first,) if slash and "://" not in source else ()


def _invalid(sentence: str) -> InvalidArgument:
    return InvalidArgument(sentence, reason="CLASSES_INVALID", field="labels.classes")
