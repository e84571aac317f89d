"""`tagloom dataset`: training images in from a zip or folder, and out to one."""

from __future__ import annotations

import filecmp
import hashlib
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagloom.cli.bars import Bars
from tagloom.cli.session import DEFAULT_STORE, Session, command_options
from tagloom.errors import AlreadyExists, DataLoss, FailedPrecondition
from tagloom.files import not_written, unfinished

if TYPE_CHECKING:
    from tagloom.artifacts.dataset import Dataset
    from tagloom.store import Store

__all__ = ["dataset_command"]


@click.group("dataset")
def dataset_command() -> None:
    """Import datasets in StyleGAN's layout, and export them."""


@dataset_command.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--id", "dataset_id", required=True, metavar="ID", help="Id of the new dataset.")
@click.option("--held-out", type=click.FloatRange(0, 0.5), default=0.0, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@command_options
def import_command(
    session: Session, path: Path, dataset_id: str, held_out: float, seed: int
) -> None:
    """Import a zip or folder of square images of one size; labels in its dataset.json are kept.

    Nothing is judged: photos that want cutting go through `scrape --folder` and `filter`. With
    --target the path is one on the server's machine.
    """
    from tagloom.cli.output import plain
    from tagloom.v1 import filter_pb2

    request = filter_pb2.ImportDatasetRequest(
        dataset_id=dataset_id,
        path=str(path if session.target else path.absolute()),
        held_out_ratio=held_out,
        seed=seed,
    )
    with session.clients("filter") as clients, Bars() as bars:
        result = clients.wait(
            clients.filter.ImportDataset(request),
            filter_pb2.Dataset,
            on_progress=bars.follow("import"),
        )
    labels = f", {len(result.classes):,} classes" if result.classes else ""
    session.answer(
        plain(result),
        f"{result.name}: {result.train_count:,} images of {result.resolution} px to train on, "
        f"{result.held_out_count:,} held out{labels}.\n"
        f"Next: tagloom train --run ID --dataset {dataset_id} --config stylegan3-t --kimg N"
        f"{session.store_options}",
    )


@dataset_command.command("export")
@click.argument("dataset")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="A file that ends in .zip, or a folder that is new or empty.",
)
@click.option("--held-out", is_flag=True, help="The images held out, instead of those to train on.")
@command_options
def export_command(session: Session, dataset: str, out: Path, held_out: bool) -> None:
    """Export the images of a dataset: PNGs and dataset.json, as StyleGAN's trainers read them."""
    from tagloom.artifacts import layout
    from tagloom.artifacts.dataset import Dataset

    if session.target and session.store_url == DEFAULT_STORE:
        raise FailedPrecondition(
            "dataset export works on the services' store, not through --target; name it with "
            "--store.",
            reason="STORE_NOT_NAMED",
        )
    name = f"datasets/{dataset.removeprefix('datasets/')}"
    (dataset_id,) = layout.parse_name(name, "datasets/{}")
    store = session.store()
    manifest = Dataset.load(store, layout.dataset_manifest(dataset_id), name)
    if held_out and not manifest.held_out:
        raise FailedPrecondition(
            f"{name} holds no images out; leave --held-out away.", reason="NOTHING_HELD_OUT"
        )
    as_zip = out.suffix.lower() == ".zip"
    try:
        if as_zip:
            out.parent.mkdir(parents=True, exist_ok=True)
            with unfinished(out) as draft:
                _fetch(store, manifest, held_out, draft)
                if out.exists() and not filecmp.cmp(out, draft, shallow=False):
                    raise AlreadyExists(
                        f"{out} exists and holds something else; choose another name.",
                        reason="FILE_EXISTS",
                        path=out,
                    )
        else:
            _unpack(store, manifest, held_out, out)
    except OSError as error:
        raise not_written(out, error) from error
    count = manifest.held_out if held_out else manifest.train
    session.answer(
        {"name": name, "out": str(out), "images": count, "resolution": manifest.image_size},
        f"{count:,} images of {manifest.image_size} px in {out}.",
    )


def _fetch(store: Store, dataset: Dataset, held_out: bool, path: Path) -> None:
    """The zip, whole: its hash is the one that the manifest names."""
    from tagloom.artifacts import layout
    from tagloom.store import ObjectNotFound

    key = layout.dataset_held_out if held_out else layout.dataset_images
    wanted = dataset.held_out_sha256 if held_out else dataset.content_sha256
    place = key(dataset.id, dataset.files)
    try:
        store.get_file(place, path)
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except ObjectNotFound:
        found = ""
    if found != wanted:
        raise DataLoss(
            f"{place} is not the archive that its manifest names; make the dataset again.",
            reason="DATASET_DAMAGED",
            resource=f"datasets/{dataset.id}",
        )


def _unpack(store: Store, dataset: Dataset, held_out: bool, folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise AlreadyExists(
            f"{folder} exists and is not empty; choose another folder.",
            reason="FILE_EXISTS",
            path=folder,
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tagloom-", dir=folder) as room:
        path = Path(room, "images.zip")
        _fetch(store, dataset, held_out, path)
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)  # our own archive, whole: its names are img00000000.png
