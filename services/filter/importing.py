"""A dataset from images that are training squares already: a StyleGAN zip, or a folder of its kind.

Nothing is judged and nothing is cut: every image must be square, and all of one size. Their
pixels are read as those of photos are (upright, sRGB, 8 bits) and written as uncompressed PNGs in
the order of their names, so what was exported comes back byte for byte. Labels are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from services.filter.archive import DatasetZip, encode_png
from services.filter.crop import RESIZE_FILTER
from services.filter.decode import MAX_BYTES, Undecodable, decode
from services.filter.forget import drop_forgotten
from services.filter.packing import held_out_squares
from services.filter.request import BuildRequest
from services.filter.verdicts import encode_verdicts
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.collection import content_hash
from tagloom.artifacts.dataset import Crop, Dataset, LabelClass, Square, Verdict
from tagloom.artifacts.labels import MAX_LABEL_SIZE, read_labels
from tagloom.errors import AlreadyExists, FailedPrecondition, InvalidArgument, ResourceExhausted
from tagloom.files import is_full
from tagloom.folders import check_file, check_folder
from tagloom.progress import Report
from tagloom.store.interface import Store

__all__ = ["ImportRequest", "import_dataset"]

_IMAGES = (".png", ".jpg", ".jpeg", ".webp")
_LABELS = "dataset.json"
_MAX_LABELS_BYTES = 512 * 2**20
_SIDES = (4, 4096)


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What to import."""

    dataset: str
    """id of the new dataset"""
    path: str
    """a zip or a folder on this machine, absolute"""
    held_out_ratio: float = 0.0
    seed: int = 0
    roots: tuple[Path, ...] | None = None
    """the path must lie in one of these; None: it may lie anywhere"""

    def checked(self) -> BuildRequest:
        """Its settings as those of a dataset. Raises InvalidArgument naming the field, and what
        `check_file` and `check_folder` raise."""
        layout.check_id(self.dataset, "dataset_id")
        _real(self.path, self.roots)
        return BuildRequest(
            self.dataset, "imported", 4, held_out_ratio=self.held_out_ratio, seed=self.seed
        ).checked()


@dataclass(frozen=True, slots=True)
class _Found:
    """One image of the source."""

    name: str
    sha256: str
    label: str | tuple[float, ...]


class _Source(ABC):
    @abstractmethod
    def names(self) -> list[str]:
        """Of everything in it, with `/`."""

    @abstractmethod
    def read(self, name: str, limit: int) -> bytes:
        """The bytes, at most `limit` + 1."""


def import_dataset(store: Store, request: ImportRequest, report: Report) -> Dataset:
    """Makes the dataset; the one that is there already when it holds the same images and labels.

    Raises InvalidArgument, NotFound, PermissionDenied, AlreadyExists (RESOURCE_EXISTS),
    FailedPrecondition (NO_IMAGES, IMAGE_UNFIT, LABELS_INVALID), ResourceExhausted (DISK_FULL), and
    Cancelled from `report`.
    """
    settings = request.checked()
    try:
        with _opened(_real(request.path, request.roots)) as source:
            return _import(store, request, settings, source, report)
    except (zipfile.BadZipFile, EOFError, RuntimeError, zlib.error, NotImplementedError) as error:
        raise InvalidArgument(
            f"{request.path} is not a zip that can be read ({error}); give a StyleGAN dataset: a "
            "zip or a folder of square images of one size.",
            reason="ARCHIVE_INVALID",
            field="path",
        ) from error
    except OSError as error:
        if not is_full(error):
            raise
        raise ResourceExhausted(
            f"The disk for temporary files ({tempfile.gettempdir()}) is full; free some space, or "
            "set TMPDIR to a larger one, then try again.",
            reason="DISK_FULL",
        ) from error


def _import(
    store: Store, request: ImportRequest, settings: BuildRequest, source: _Source, report: Report
) -> Dataset:
    found, classes, vectors = _listed(request.path, source, report)
    # Copies of one file are one image, all on one side.
    plain = {
        each.sha256: Verdict(
            sha256=each.sha256,
            source=each.name,
            kept=True,
            tiles=1,
            label=each.label if isinstance(each.label, str) else "",
        )
        for each in reversed(found)
    }
    ordered = [plain[sha256] for sha256 in dict.fromkeys(each.sha256 for each in found)]
    aside = {sha256 for sha256, _ in held_out_squares(ordered, settings)}
    side = 0
    squares: dict[str, list[Square]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="tagloom-import-") as folder, ExitStack() as stack:
        train_path, rest_path = Path(folder, "images.zip"), Path(folder, "held_out.zip")
        train = stack.enter_context(DatasetZip(train_path, classes, vectors=vectors))
        rest = stack.enter_context(DatasetZip(rest_path, classes, vectors=vectors))
        for done, each in enumerate(found):
            report("write", done, len(found))
            side, png = _png(each.name, source.read(each.name, MAX_BYTES), side)
            out = each.sha256 in aside
            name = (rest if out else train).add(png, each.label)
            square = Square(left=0, top=0, side=side, held_out=out, file=name)
            squares[each.sha256].append(square)
        stack.close()
        _check_labels(train_path, f"datasets/{request.dataset}")
        dataset = Dataset(
            id=request.dataset,
            create_time=now(),
            collection="",
            collection_sha256=content_hash(each.sha256 for each in found),
            origin=Path(request.path).name,
            resolution=side,
            crop=Crop(output_size=side),
            resize_filter=f"none; {RESIZE_FILTER.split(' LANCZOS')[0]} decoded what was imported",
            thresholds=(),
            check_versions={},
            judged=len(ordered),
            kept=len(ordered),
            rejected=0,
            train=train.count,
            held_out=rest.count,
            held_out_ratio=request.held_out_ratio,
            seed=request.seed,
            content_sha256=train.sha256(),
            held_out_sha256=rest.sha256() if rest.count else "",
            classes=tuple(
                LabelClass(
                    name=name,
                    train=sum(e.label == name and e.sha256 not in aside for e in found),
                    held_out=sum(e.label == name and e.sha256 in aside for e in found),
                )
                for name in classes
            ),
        )
        if (there := _same(store, dataset)) is not None:
            return there
        report("store", 0, 1)
        store.put_file(layout.dataset_images(request.dataset), train_path)
        if rest.count:
            store.put_file(layout.dataset_held_out(request.dataset), rest_path)
    verdicts = [
        verdict.model_copy(
            update={
                "squares": tuple(squares[verdict.sha256]),
                "tiles": len(squares[verdict.sha256]),
                "width": side,
                "height": side,
            }
        )
        for verdict in ordered
    ]
    store.put(layout.dataset_verdicts(request.dataset), encode_verdicts(verdicts))
    dataset.create(store, layout.dataset_manifest(request.dataset), f"datasets/{request.dataset}")
    dataset = drop_forgotten(store, dataset)
    report("store", 1, 1, f"{train.count} images to train on, {rest.count} held out")
    return dataset


def _same(store: Store, dataset: Dataset) -> Dataset | None:
    """The dataset of this id, if it holds what `dataset` holds; None without one."""
    key, name = layout.dataset_manifest(dataset.id), f"datasets/{dataset.id}"
    if not store.exists(key):
        return None
    there = Dataset.load(store, key, name)
    # Of an image that was forgotten later the older revisions still knew.
    known = {there.content_sha256, there.held_out_sha256, *there.former_content}
    if not there.collection and {dataset.content_sha256, dataset.held_out_sha256} <= known:
        return there
    raise AlreadyExists(
        f"{name} exists already and holds other images; choose another id or remove it first.",
        reason="RESOURCE_EXISTS",
        resource=name,
    )


def _listed(
    path: str, source: _Source, report: Report
) -> tuple[list[_Found], tuple[str, ...], bool]:
    """The images by name, the names of their classes, and whether labels are lists of numbers."""
    names = source.names()
    images = sorted(name for name in names if name.lower().endswith(_IMAGES))
    if not images:
        raise FailedPrecondition(
            f"{path} holds no image ({', '.join(_IMAGES)}); give a StyleGAN dataset: a zip or a "
            "folder of square images of one size.",
            reason="NO_IMAGES",
        )
    document = _document(path, source) if _LABELS in names else {}
    given = _labels(path, document)
    vectors = any(isinstance(given.get(name), list) for name in images)
    classes = () if vectors or not given else _classes(path, document, given, images)
    found = []
    for done, name in enumerate(images):
        report("read", done, len(images))
        data = source.read(name, MAX_BYTES)
        if given and name not in given:
            raise _labels_invalid(path, f"{name} has none")
        label: str | tuple[float, ...] = ""
        if vectors:
            label = _vector(path, name, given[name])
        elif given:
            label = classes[int(given[name])]
        found.append(_Found(name, hashlib.sha256(data).hexdigest(), label))
    return found, classes, vectors


def _vector(path: str, name: str, label: Any) -> tuple[float, ...]:
    if not isinstance(label, list):
        raise _labels_invalid(path, f"that of {name} is no list of numbers, as others are")
    return tuple(label)


def _document(path: str, source: _Source) -> dict[str, Any]:
    try:
        document = json.loads(source.read(_LABELS, _MAX_LABELS_BYTES))
    except (ValueError, RecursionError) as error:
        raise _labels_invalid(path, f"{_LABELS} is not JSON") from error
    return document if isinstance(document, dict) else {}


def _labels(path: str, document: dict[str, Any]) -> dict[str, Any]:
    rows = document.get("labels") or []
    if not isinstance(rows, list):
        raise _labels_invalid(path, '"labels" is not a list of [file name, label]')
    for row in rows:
        if not (isinstance(row, list) and len(row) == 2 and isinstance(row[0], str)):
            raise _labels_invalid(path, "a row is not [file name, label]")
    return {name.replace("\\", "/"): label for name, label in rows}


def _classes(
    path: str, document: dict[str, Any], given: dict[str, Any], images: Sequence[str]
) -> tuple[str, ...]:
    """Names of the classes: those in the file, else their numbers."""
    used = [given[name] for name in images if name in given]
    for label in used:
        if type(label) is not int or not 0 <= label < MAX_LABEL_SIZE:
            raise _labels_invalid(path, f"{str(label)[:40]!r} is no class (0, 1, 2, …)")
    count = max(used, default=-1) + 1
    names = document.get("classes")
    if isinstance(names, list) and len(names) >= count and all(type(n) is str for n in names):
        return tuple(names)
    return tuple(map(str, range(count)))


def _labels_invalid(path: str, what: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"The labels of {path} are wrong: {what}; correct its {_LABELS}, or remove it to import "
        "the images without labels.",
        reason="LABELS_INVALID",
    )


def _check_labels(path: Path, name: str) -> None:
    """As the trainer will read them. Raises FailedPrecondition (LABELS_INVALID)."""
    with zipfile.ZipFile(path) as archive:
        read_labels(archive, [n for n in archive.namelist() if n.endswith(".png")], name)


def _png(name: str, data: bytes, side: int) -> tuple[int, bytes]:
    """The image as a PNG of ours, and its side; it must be `side` px, unless that is 0."""
    try:
        photo = decode(data)
    except Undecodable as error:
        raise _unfit(name, error.detail[0].lower() + error.detail[1:].removesuffix(".")) from error
    width, height = photo.width, photo.height
    if width != height or (side and width != side):
        wanted = f"{side} x {side}, as the others" if side else "square"
        raise _unfit(name, f"it has {width} x {height} pixels, not {wanted}")
    low, high = _SIDES
    if not low <= width <= high or width & (width - 1):
        raise _unfit(name, f"its side of {width} px is no power of two from {low} to {high}")
    return width, encode_png(Image.fromarray(photo.rgb))


def _unfit(name: str, what: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"{name[:200]} is no training image: {what}; to judge and cut photos, use `tagloom scrape "
        "--folder` and `tagloom filter` instead.",
        reason="IMAGE_UNFIT",
        image=name[:200],
    )


def _real(path: str, roots: Sequence[Path] | None) -> Path:
    return check_folder(path, roots) if os.path.isdir(path) else check_file(path, roots)


@contextmanager
def _opened(path: Path) -> Iterator[_Source]:
    if path.is_dir():
        yield _Folder(path)
        return
    with zipfile.ZipFile(path) as archive:
        yield _Zip(archive)


class _Zip(_Source):
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def names(self) -> list[str]:
        return [info.filename for info in self._archive.infolist() if not info.is_dir()]

    def read(self, name: str, limit: int) -> bytes:
        with self._archive.open(name) as stream:  # what the header says of the size may be a lie
            return stream.read(limit + 1)


class _Folder(_Source):
    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        return [
            Path(folder, file).relative_to(self._root).as_posix()
            for folder, _, files in os.walk(self._root)
            for file in files
        ]

    def read(self, name: str, limit: int) -> bytes:
        path = Path(os.path.realpath(self._root / name))
        if not path.is_relative_to(self._root):
            raise _unfit(name, "the link leads out of the folder")
        with path.open("rb") as stream:
            return stream.read(limit + 1)
