"""Takedowns in datasets: what was forgotten leaves verdicts, zips, scores and statistics.

A dataset that held an image becomes a new revision without it: the squares of all others, and
which of them are held out, stay as they are, so that what was trained on them may still be scored.
First the new files, then the manifest in one step, then the old files go; killed at any point and
asked again, it comes to the same end.
"""

from __future__ import annotations

import io
import json
import secrets
import tempfile
import zipfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.filter.archive import DatasetZip
from services.filter.verdicts import all_verdicts, encode_verdicts
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.collection import content_hash
from tagloom.artifacts.dataset import Dataset, LabelClass, Square, Verdict
from tagloom.artifacts.forgotten import Forgotten
from tagloom.errors import DataLoss, FailedPrecondition, NotFound, TagloomError, Unavailable
from tagloom.progress import Report, silent
from tagloom.store.interface import ObjectNotFound, PreconditionFailed, Store

__all__ = ["Cleared", "drop_forgotten", "forget_images"]

_ATTEMPTS = 16


@dataclass(frozen=True, slots=True)
class Cleared:
    """What became of datasets."""

    held: tuple[str, ...]
    """names of datasets that hold, or held before a takedown, one of the images"""
    changed: tuple[str, ...]
    """names of those that are a new revision now"""


def forget_images(store: Store, images: Collection[str], report: Report = silent) -> Cleared:
    """Removes the images from every dataset, from the scores and from cached statistics.

    `images`: hashes; none means everything that has a tombstone. Done twice, it changes nothing
    more. Raises, after all others are done, FailedPrecondition (DATASET_WITHOUT_SQUARES) for a
    dataset from before squares were written down, and DataLoss for one that cannot be read;
    Cancelled.
    """
    wanted = frozenset(images) or frozenset(Forgotten(store).images)
    held, changed = list[str](), list[str]()
    problems: list[TagloomError] = []
    datasets = list(_dataset_ids(store))
    for done, dataset_id in enumerate(datasets):
        name = f"datasets/{dataset_id}"
        report("datasets", done, len(datasets), name)
        try:
            dataset, new = _without(store, dataset_id, wanted)
        except NotFound:
            continue  # removed since the listing
        except (FailedPrecondition, DataLoss) as error:
            problems.append(error)
            continue
        if new:
            changed.append(name)
        if wanted & set(dataset.forgotten):
            held.append(name)
    report("scores", len(datasets), len(datasets))
    _drop_scores(store, wanted)
    if problems:
        raise problems[0]
    return Cleared(tuple(held), tuple(changed))


def drop_forgotten(store: Store, dataset: Dataset) -> Dataset:
    """The dataset, which has just been made, without what was forgotten meanwhile."""
    forgotten = frozenset(Forgotten(store).images)
    if not forgotten:
        return dataset
    made, changed = _without(store, dataset.id, forgotten)
    if changed:
        _drop_scores(store, frozenset(made.forgotten))
    return made


def _without(store: Store, dataset_id: str, images: frozenset[str]) -> tuple[Dataset, bool]:
    """The dataset as it is afterwards, and whether it was changed."""
    key, name = layout.dataset_manifest(dataset_id), f"datasets/{dataset_id}"
    for _ in range(_ATTEMPTS):
        there, etag = Dataset.load_with_etag(store, key, name)
        verdicts = all_verdicts(store, there)
        lost = {v.sha256 for v in verdicts} & images
        if not lost and not any(r.related in images for v in verdicts for r in v.results):
            _remove_old(store, there)
            return there, False
        made = _revised(store, there, verdicts, images)
        try:
            made.replace(store, key, etag)
        except PreconditionFailed:
            _remove_files(store, made)
            continue
        _remove_old(store, made)
        return made, True
    raise Unavailable(f"{name} is changed by others all the time.", reason="DATASET_BUSY")


def _revised(
    store: Store, there: Dataset, verdicts: Sequence[Verdict], images: frozenset[str]
) -> Dataset:
    """The next revision, its files written; its manifest is for the caller."""
    if any(v.tiles and not v.squares for v in verdicts):
        raise FailedPrecondition(
            f"datasets/{there.id} was made by a version of Tagloom that did not write down which "
            "square is of which photo; remove it and make it again.",
            reason="DATASET_WITHOUT_SQUARES",
            resource=f"datasets/{there.id}",
        )
    revision = there.revision + 1
    files = f"-{revision:06}-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory(prefix="tagloom-forget-") as folder, ExitStack() as stack:
        names = [c.name for c in there.classes]
        vectors = bool(_vectors(store, layout.dataset_images(there.id, there.files)))
        train = DatasetZip(Path(folder) / "images.zip", names, vectors=vectors)
        rest = DatasetZip(Path(folder) / "held_out.zip", names, vectors=vectors)
        stack.enter_context(train)
        stack.enter_context(rest)
        squares = _copy(store, there, verdicts, images, train, rest)
        stack.close()
        store.put_file(layout.dataset_images(there.id, files), Path(folder) / "images.zip")
        if rest.count:
            store.put_file(layout.dataset_held_out(there.id, files), Path(folder) / "held_out.zip")
        content, held_out = train.sha256(), rest.sha256() if rest.count else ""
    left = [
        _unrelated(verdict, images, squares.get(row, ()))
        for row, verdict in enumerate(verdicts)
        if verdict.sha256 not in images
    ]
    store.put(layout.dataset_verdicts(there.id, files), encode_verdicts(left))
    former = {there.content_sha256, there.held_out_sha256, *there.former_content} - {""}
    kept = sum(verdict.kept for verdict in left)
    lost = {v.sha256 for v in verdicts} & images
    return there.model_copy(
        update={
            "collection_sha256": content_hash(v.sha256 for v in left),
            "judged": len(left),
            "kept": kept,
            "rejected": len(left) - kept,
            "train": train.count,
            "held_out": rest.count,
            "content_sha256": content,
            "held_out_sha256": held_out,
            "classes": _classes(there.classes, left),
            "files": files,
            "revision": revision,
            "update_time": now(),
            "former_content": tuple(sorted(former - {content, held_out})),
            "forgotten": tuple(sorted({*there.forgotten, *lost})),
        }
    )


def _copy(
    store: Store,
    there: Dataset,
    verdicts: Sequence[Verdict],
    images: frozenset[str],
    train: DatasetZip,
    rest: DatasetZip,
) -> dict[int, tuple[Square, ...]]:
    """The squares that stay into the new zips, in their old order; where each lies now, by row."""
    old = {
        (square.held_out, square.file): (row, number)
        for row, verdict in enumerate(verdicts)
        for number, square in enumerate(verdict.squares)
    }
    found: dict[int, dict[int, Square]] = {}
    for aside, key, to in (
        (False, layout.dataset_images(there.id, there.files), train),
        (True, layout.dataset_held_out(there.id, there.files), rest),
    ):
        if aside and not there.held_out:
            continue
        vectors = _vectors(store, key)
        with store.open(key) as stream, zipfile.ZipFile(stream) as archive:
            for name in sorted(n for n in archive.namelist() if n.endswith(".png")):
                row, number = old[aside, name]
                verdict = verdicts[row]
                if verdict.sha256 in images:
                    continue
                file = to.add(archive.read(name), vectors.get(name, verdict.label))
                square = verdict.squares[number].model_copy(update={"file": file})
                found.setdefault(row, {})[number] = square
    return {
        row: tuple(square for _, square in sorted(numbered.items()))
        for row, numbered in found.items()
    }


def _vectors(store: Store, key: str) -> dict[str, list[float]]:
    """The labels of an archive that are lists of numbers, as imported datasets may have them."""
    with store.open(key) as stream, zipfile.ZipFile(stream) as archive:
        rows = json.loads(archive.read("dataset.json"))["labels"] or []
    return {name: label for name, label in rows if isinstance(label, list)}


def _unrelated(verdict: Verdict, images: frozenset[str], squares: tuple[Square, ...]) -> Verdict:
    """The verdict with its squares' new places, and no word of an image that was forgotten."""
    results = tuple(
        r.model_copy(update={"related": "", "detail": "Of an image that was forgotten."})
        if r.related in images
        else r
        for r in verdict.results
    )
    return verdict.model_copy(update={"results": results, "squares": squares})


def _classes(classes: Sequence[LabelClass], verdicts: Sequence[Verdict]) -> tuple[LabelClass, ...]:
    """The same classes, under the same numbers, with what is left in each."""
    made = [(v.label, square.held_out) for v in verdicts for square in v.squares]
    return tuple(
        c.model_copy(
            update={
                "train": made.count((c.name, False)),
                "held_out": made.count((c.name, True)),
            }
        )
        for c in classes
    )


def _remove_old(store: Store, dataset: Dataset) -> None:
    """Files of former revisions, also of writers that were killed, and what was cached of them."""
    prefix = f"datasets/{dataset.id}/"
    for info in list(store.iterate(prefix)):
        stem, _, suffix = info.key.removeprefix(prefix).partition(".")
        if stem.split("-")[0] not in ("images", "held_out", "verdicts") or not suffix:
            continue
        files = stem.partition("-")[2]
        number = int(files.partition("-")[0] or 1)
        if f"-{files}" * bool(files) != dataset.files and number <= dataset.revision:
            store.delete(info.key)
    for content in dataset.former_content:
        for info in list(store.iterate(f"statistics/{content}-")):
            store.delete(info.key)


def _remove_files(store: Store, dataset: Dataset) -> None:
    """Of a revision that came too late."""
    for key in (layout.dataset_images, layout.dataset_held_out, layout.dataset_verdicts):
        store.delete(key(dataset.id, dataset.files))


def _drop_scores(store: Store, images: frozenset[str]) -> None:
    """Scores of the images: derived data, but a perceptual hash is a likeness, too."""
    digits = {sha256[0] for sha256 in images}
    for info in list(store.iterate("scores/")):
        if info.key.rpartition("/")[2].removesuffix(".parquet") not in digits:
            continue
        for _ in range(_ATTEMPTS):
            try:
                data, etag = store.get_with_etag(info.key)
                table = pq.read_table(io.BytesIO(data))
            except ObjectNotFound:
                break
            except pa.ArrowException:
                break  # damaged: whoever reads it drops it
            there = pc.is_in(table["sha256"], value_set=pa.array(sorted(images)))
            if not pc.any(there).as_py():
                break
            sink = io.BytesIO()
            pq.write_table(table.filter(pc.invert(there)), sink, compression="zstd")
            try:
                store.put(info.key, sink.getvalue(), if_match=etag)
                break
            except PreconditionFailed:
                continue  # somebody added scores


def _dataset_ids(store: Store) -> Iterator[str]:
    for info in store.iterate("datasets/"):
        if info.key.endswith("/manifest.json"):
            yield info.key.split("/")[1]
