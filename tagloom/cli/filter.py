"""`tagloom filter` and `tagloom verdicts`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagloom.cli.bars import Bars
from tagloom.cli.files import write_new
from tagloom.cli.session import Session, command_options
from tagloom.errors import TagloomError

if TYPE_CHECKING:
    from tagloom.v1 import filter_pb2

__all__ = ["filter_command", "verdicts_command"]


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
    help="Write a class for each image, for `train --cond`: by hashtag of its caption, or by the "
    "first folder of its path.",
)
@click.option(
    "--classes",
    metavar="A,B,…",
    help="Names of the classes, in the order of their numbers (hashtags need them).",
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
    if classes and not labels:
        raise click.UsageError("--classes needs --labels.")
    if labels == "hashtag" and not classes:
        raise click.UsageError("--labels hashtag needs --classes, such as --classes cat,dog.")
    from tagloom.cli.output import plain
    from tagloom.cli.profile import read_profile
    from tagloom.v1 import filter_pb2

    name, thresholds = read_profile(profile) if profile else ("", [])
    request = filter_pb2.CreateDatasetRequest(
        dataset_id=dataset,
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
        profile=name,
        thresholds=thresholds,
    )
    if labels:
        names = [name.strip() for name in (classes or "").split(",") if name.strip()]
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
        f"{result.train_count:,} squares to train on, {result.held_out_count:,} held out.\n"
        f"{_classes_line(result)}"
        f"Why: tagloom verdicts {dataset}{session.store_options}",
    )


@click.command("verdicts")
@click.argument("dataset")
@click.option(
    "--overlays",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write a preview of every image with its boxes drawn.",
)
@click.option("--overwrite", is_flag=True, help="Replace previews that differ.")
@command_options
def verdicts_command(
    session: Session, dataset: str, overlays: Path | None, overwrite: bool
) -> None:
    """Tell why each image of a dataset stayed or went."""
    from tagloom.cli.output import plain, table
    from tagloom.client import iterate
    from tagloom.v1 import filter_pb2

    name = f"datasets/{dataset.removeprefix('datasets/')}"
    with session.clients("filter", works=False) as clients:
        request = filter_pb2.ListVerdictsRequest(parent=name, page_size=1000)
        verdicts = list(iterate(clients.filter.ListVerdicts, request, lambda p: p.verdicts))
        missing: list[str] = []
        if overlays:
            with Bars() as bars:
                for index, verdict in enumerate(verdicts):
                    bars.show("overlays", "draw", index, len(verdicts), None, verdict.source)
                    try:
                        jpeg = clients.filter.RenderVerdict(
                            filter_pb2.RenderVerdictRequest(name=name, sha256=verdict.sha256)
                        ).jpeg
                    except TagloomError as error:
                        missing.append(f"{verdict.source} has no preview: {error.message}")
                        continue
                    state = "kept" if verdict.kept else "rejected"
                    stem = Path(verdict.source).stem or "image"
                    path = overlays / f"{state}-{stem[:80]}-{verdict.sha256[:8]}.jpg"
                    write_new(path, jpeg, overwrite=overwrite)
                bars.end("overlays", f"{len(verdicts) - len(missing)} previews in {overlays}")
    rows = [[_short(v.source), "kept" if v.kept else "rejected", _why(v)] for v in verdicts]
    kept = sum(verdict.kept for verdict in verdicts)
    text = table(("image", "verdict", "why"), rows)
    tail = "".join(f"\n{line}" for line in missing)
    session.answer(
        {"dataset": name, "verdicts": [plain(verdict) for verdict in verdicts]},
        f"{text}\n\n{kept} of {len(verdicts)} kept.{tail}",
    )


def _classes_line(dataset: filter_pb2.Dataset) -> str:
    counts = ", ".join(f"{c.name} {c.train_count:,}" for c in dataset.classes)
    return f"Classes, with squares to train on: {counts}.\n" if counts else ""


def _why(verdict: filter_pb2.Verdict) -> str:
    if verdict.kept:
        return f"{verdict.tile_count} squares"
    reasons = [
        result.detail
        or f"{result.check} {result.score:g} {result.unit}, threshold {result.threshold:g}"
        for result in verdict.results
        if not result.passed
    ]
    return " ".join(reasons) or ", ".join(verdict.failed_checks)


def _short(source: str) -> str:
    return source if len(source) <= 48 else "…" + source[-47:]
