"""`tagloom filter`: a collection to a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tagloom.cli.bars import Bars
from tagloom.cli.session import Session, command_options

if TYPE_CHECKING:
    from tagloom.v1 import filter_pb2

__all__ = ["filter_command"]


@click.command("filter")
@click.option("--collection", required=True, metavar="ID", help="The collection to judge.")
@click.option("--dataset", required=True, metavar="ID", help="Id of the new dataset.")
@click.option(
    "--resolution", required=True, type=click.IntRange(8, 4096), help="Pixels to judge for."
)
@click.option(
    "--profile",
    metavar="NAME|FILE",
    help="default, strict or lenient; or a YAML file of bounds (`faces: off`, `sharpness: 0.5`) "
    "that differ from the default.",
)
@click.option(
    "--crop",
    type=click.Choice(["center", "subject", "tiles"]),
    default="center",
    show_default=True,
    help="The largest square in the centre, or where the subject is; or a grid of squares.",
)
@click.option("--tile-size", type=click.IntRange(1, 4096), help="Side of a tile in source pixels.")
@click.option(
    "--overlap",
    type=click.FloatRange(0, 0.75),
    help="Share of its side that a tile may have in common with the next one, at most.",
)
@click.option("--output-size", type=click.IntRange(4, 4096), help="Side of the training images.")
@click.option("--held-out", type=click.FloatRange(0, 0.5), default=0.2, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--labels",
    type=click.Choice(["hashtag", "folder"]),
    help="Write a class for each image, for `train --cond`: by the hashtag that led to it, or "
    "by the first folder of its path.",
)
@click.option(
    "--classes",
    metavar="A,B,…",
    help="The classes in the order of their numbers [default: the hashtags that the photos were "
    "collected under, or all folders].",
)
@command_options
def filter_command(
    session: Session,
    collection: str,
    dataset: str,
    resolution: int,
    profile: str | None,
    crop: str,
    tile_size: int | None,
    overlap: float | None,
    output_size: int | None,
    held_out: float,
    seed: int,
    labels: str | None,
    classes: str | None,
) -> None:
    """Judge a collection's images, cut squares from those that stay, write a dataset."""
    if tile_size and crop != "tiles":
        raise click.UsageError("--tile-size needs --crop tiles.")
    if overlap and crop != "tiles":
        raise click.UsageError("--overlap needs --crop tiles.")
    if classes is not None and not labels:
        raise click.UsageError("--classes needs --labels.")
    names = [name.strip() for name in (classes or "").split(",") if name.strip()]
    if classes is not None and not names:
        raise click.UsageError("--classes names none; write them with commas between, or leave it.")
    from tagloom.cli.output import count, plain
    from tagloom.cli.profile import read_profile
    from tagloom.v1 import filter_pb2

    base, thresholds = read_profile(profile) if profile is not None else ("", [])
    request = filter_pb2.CreateDatasetRequest(
        dataset_id=dataset.removeprefix("datasets/"),
        collection=f"collections/{collection.removeprefix('collections/')}",
        resolution=resolution,
        crop=filter_pb2.Crop(
            mode=f"MODE_{crop.upper()}",
            tile_size=tile_size or 0,
            overlap=overlap or 0.0,
            output_size=output_size or 0,
        ),
        held_out_ratio=held_out,
        seed=seed,
        profile=base,
        thresholds=thresholds,
    )
    if labels:
        request.labels.MergeFrom(
            filter_pb2.LabelSource(kind=f"KIND_{labels.upper()}", classes=names)
        )
    with session.clients("filter") as clients, Bars() as bars:
        result = clients.wait(
            clients.filter.CreateDataset(request),
            filter_pb2.Dataset,
            on_progress=bars.follow("filter"),
        )
    session.answer(
        plain(result),
        f"{result.name}: {result.kept_count:,} of {result.judged_count:,} images kept; "
        f"{count(result.train_count, 'square')} to train on, {result.held_out_count:,} held out.\n"
        f"{_classes_line(result)}"
        f"Why: tagloom verdicts {request.dataset_id}{session.store_options}",
    )


def _classes_line(dataset: filter_pb2.Dataset) -> str:
    counts = ", ".join(f"{c.name} {c.train_count:,}" for c in dataset.classes)
    return f"Classes, with squares to train on: {counts}.\n" if counts else ""
