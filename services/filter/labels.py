"""A class for each photo, from what the collection knows of it: for conditional training.

hashtag: the hashtags under which a collection was gathered are its classes, unless some are named;
a photo's is the one that led to it, else the first of its caption's that is a class. Other tags
count for nothing unless they are named: a caption carries a flurry of them.

folder: the first folder of its path, as in `cats/one.jpg`; every folder is a class unless some are
named.

A photo without a class cannot be trained on beside others that have one: it goes, and its verdict
says why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tagloom.artifacts.collection import Collection, HashtagSource, Item
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
        if len(names) == 1:
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


def classes_of(collection: Collection, items: Sequence[Item], labels: LabelSource) -> Classes:
    """The classes of a collection's photos.

    An image that was met several times carries the tags of all its posts, and lies in the folder
    where it was met first. Raises FailedPrecondition (CLASS_UNKNOWN, NO_CLASSES).
    """
    name_of_all = f"collections/{collection.id}"
    found: dict[str, list[str]] = {}
    for item in items:
        if item.sha256:
            candidates = _tags(item) if labels.kind == "hashtag" else _folder(item.source)
            found.setdefault(item.sha256, []).extend(candidates)
    there = Counter(name for candidates in found.values() for name in set(candidates))
    names = labels.classes or _default(collection, labels, there)
    if unknown := [name for name in names if name not in there]:
        what = "hashtags" if labels.kind == "hashtag" else "folders"
        raise FailedPrecondition(
            f"No photo of {name_of_all} has the class {unknown[0]!r}; {_advice(there, what)}.",
            reason="CLASS_UNKNOWN",
            resource=name_of_all,
            label=unknown[0],
        )
    if len(names) < 2:
        raise FailedPrecondition(
            f"The photos of {name_of_all} lie in fewer than two folders, which makes no classes; "
            "sort them into one folder per class, or leave the labels out.",
            reason="NO_CLASSES",
            resource=name_of_all,
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


def _tags(item: Item) -> tuple[str, ...]:
    """What led to the post first, then its caption's."""
    led = (item.feed.removeprefix("#").lower(),) if item.feed.startswith("#") else ()
    return (*led, *item.tags)


def _default(collection: Collection, labels: LabelSource, there: Counter[str]) -> tuple[str, ...]:
    """The classes where none are named."""
    if labels.kind == "folder":
        return tuple(sorted(there))
    source = collection.source
    gathered = (source.hashtag, *source.more) if isinstance(source, HashtagSource) else ()
    names = tuple(dict.fromkeys(tag.removeprefix("#").lower() for tag in gathered))
    if len(names) < 2:
        raise FailedPrecondition(
            f"collections/{collection.id} was not gathered under several hashtags, which would be "
            f"the classes; {_advice(there, 'hashtags')}.",
            reason="NO_CLASSES",
            resource=f"collections/{collection.id}",
        )
    return names


def _advice(there: Counter[str], what: str) -> str:
    common = ", ".join(name for name, _ in there.most_common(_TOLD))
    if not common:
        return f"its photos have no {what}, so leave the labels out"
    return f"name classes that its photos have (the most common {what}: {common})"


def _folder(source: str) -> tuple[str, ...]:
    first, slash, _ = source.partition("/")
    return (first,) if slash and "://" not in source else ()


def _invalid(sentence: str) -> InvalidArgument:
    return InvalidArgument(sentence, reason="CLASSES_INVALID", field="labels.classes")
