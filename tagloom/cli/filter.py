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
@click.option("--crop", type=click.Choice(["center", "tiles"]), default="center", show_default=True)
@click.option("--tile-size", type=click.IntRange(1, 4096), help="Side of a tile in source pixels.")
@click.option("--output-size", type=click.IntRange(4, 4096), help="Side of the training images.")
@click.option("--held-out", type=click.FloatRange(0, 0.5), default=0.2, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@command_options
def filter_command(
    session: Session,
    collection: str,
    dataset: str,
    resolution: int,
    profile: str | None,
    crop: str,
    tile_size: int | None,
    output_size: int | None,
    held_out: float,
    seed: int,
) -> None:
    """Judge a collection's images, cut squares from those that stay, write a dataset."""
    if tile_size and crop != "tiles":
        raise click.UsageError("--tile-size needs --crop tiles.")
    from tagloom.cli.output import plain
    from tagloom.cli.profile import read_profile
    from tagloom.v1 import filter_pb2

    name, thresholds = read_profile(profile) if profile else ("", [])
    modes = {"center": filter_pb2.Crop.MODE_CENTER, "tiles": filter_pb2.Crop.MODE_TILES}
    request = filter_pb2.CreateDatasetRequest(
        dataset_id=dataset,
        collection=f"collections/{collection.removeprefix('collections/')}",
        resolution=resolution,
        crop=filter_pb2.Crop(
            mode=modes[crop], tile_size=tile_size or 0, output_size=output_size or 0
        ),
        held_out_ratio=held_out,
        seed=seed,
        profile=name,
        thresholds=thresholds,
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
