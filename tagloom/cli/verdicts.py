"""`tagloom verdicts`: why each image stayed or went, with pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagloom.cli.bars import Bars
from tagloom.cli.files import GivenPath, write_new
from tagloom.cli.session import Session, command_options
from tagloom.errors import AlreadyExists, TagloomError

if TYPE_CHECKING:
    from tagloom.cli.gallery import Pictures
    from tagloom.client import Clients
    from tagloom.v1 import filter_pb2

__all__ = ["verdicts_command"]

_PHOTO_SIDE = 640
_SHEET_SIDE = 1024
_PAGE = "index.html"


@click.command("verdicts")
@click.argument("dataset")
@click.option(
    "--overlays",
    type=GivenPath(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write pictures of every image (boxes, squares, sharpness, scores) and a page, "
    f"{_PAGE}, that shows the borderline ones first.",
)
@click.option(
    "--first",
    type=click.IntRange(1),
    metavar="N",
    help="With --overlays: of the N images nearest to the other verdict alone.",
)
@click.option(
    "--order",
    type=click.Choice(["collection", "closeness"]),
    default="collection",
    show_default=True,
    help="closeness: the borderline images first.",
)
@click.option("--overwrite", is_flag=True, help="Replace pictures that differ.")
@command_options
def verdicts_command(
    session: Session,
    dataset: str,
    overlays: Path | None,
    first: int | None,
    order: str,
    overwrite: bool,
) -> None:
    """Tell why each image of a dataset stayed or went."""
    if first and not overlays:
        raise click.UsageError("--first needs --overlays.")
    from tagloom.cli.output import plain, table
    from tagloom.client import iterate
    from tagloom.v1 import filter_pb2

    name = f"datasets/{dataset.removeprefix('datasets/')}"
    by = "closeness" if order == "closeness" else ""
    with session.clients("filter", works=False) as clients:
        request = filter_pb2.ListVerdictsRequest(parent=name, page_size=1000, order_by=by)
        verdicts = list(iterate(clients.filter.ListVerdicts, request, lambda p: p.verdicts))
        missing: list[str] = []
        if overlays:
            missing = _write_overlays(clients, name, verdicts, overlays, first, overwrite)
    rows = [[_short(v.source), "kept" if v.kept else "rejected", _why(v)] for v in verdicts]
    kept = sum(verdict.kept for verdict in verdicts)
    tail = "".join(f"\n{line}" for line in missing)
    if overlays:
        tail += f"\nThe borderline ones first: {overlays / _PAGE}"
    session.answer(
        {"dataset": name, "verdicts": [plain(verdict) for verdict in verdicts]},
        f"{table(('image', 'verdict', 'why'), rows)}\n\n{kept} of {len(verdicts)} kept.{tail}",
    )


def _write_overlays(
    clients: Clients,
    name: str,
    verdicts: Sequence[filter_pb2.Verdict],
    folder: Path,
    first: int | None,
    overwrite: bool,
) -> list[str]:
    """Writes the pictures and the page; returns a sentence for each image without a picture."""
    from tagloom.cli.gallery import gallery, page_title
    from tagloom.v1 import filter_pb2

    dataset = clients.filter.GetDataset(filter_pb2.GetDatasetRequest(name=name))
    ordered = sorted(verdicts, key=lambda verdict: verdict.closeness)[:first]
    if not overwrite:
        _refuse_other_page(folder / _PAGE, page_title(dataset))
    pictures, missing = [], []
    with Bars() as bars:
        for index, verdict in enumerate(ordered):
            bars.show("overlays", "draw", index, len(ordered), None, verdict.source)
            files, problem = _pictures(clients, name, verdict, folder, overwrite)
            pictures.append(files)
            if problem:
                missing.append(problem)
        page = gallery(dataset, ordered, pictures)
        write_new(folder / _PAGE, page.encode(), overwrite=True)
        bars.end("overlays", f"{len(ordered) - len(missing)} previews in {folder}")
    return missing


def _refuse_other_page(path: Path, title: str) -> None:
    """Before anything is drawn: the page of the same dataset may be written anew, no other."""
    try:
        found = path.read_text("utf-8", errors="replace")
    except OSError:
        return  # there is none; or why it cannot be written is said when it is
    if f"<title>{title}</title>" not in found[:100_000]:
        raise AlreadyExists(
            f"{path} exists and is not the page of these verdicts; choose another folder, or say "
            "--overwrite.",
            reason="FILE_EXISTS",
            path=path,
        )


def _pictures(
    clients: Clients, name: str, verdict: filter_pb2.Verdict, folder: Path, overwrite: bool
) -> tuple[Pictures, str]:
    """The files of one image; empty and a sentence where it has none."""
    from tagloom.cli.gallery import Pictures, picture_stem
    from tagloom.v1 import filter_pb2

    stem = picture_stem(verdict)
    views = filter_pb2.RenderVerdictRequest
    # A damaged file has no pixels: one card with the reason is all there is to show.
    wanted = [("", views.VIEW_PLAIN, _PHOTO_SIDE)]
    if "format" not in verdict.failed_checks:
        wanted += [("-sharpness", views.VIEW_BLUR, _PHOTO_SIDE)]
        wanted += [("-sheet", views.VIEW_SHEET, _SHEET_SIDE)]
    names = []
    for suffix, view, side in wanted:
        request = filter_pb2.RenderVerdictRequest(
            name=name, sha256=verdict.sha256, view=view, max_side=side
        )
        try:
            jpeg = clients.filter.RenderVerdict(request).jpeg
        except TagloomError as error:
            return Pictures(), f"{verdict.source} has no preview: {error.message}"
        names.append(f"{stem}{suffix}.jpg")
        write_new(folder / names[-1], jpeg, overwrite=overwrite)
    return Pictures(*names), ""


def _why(verdict: filter_pb2.Verdict) -> str:
    from tagloom.cli.output import count

    if verdict.kept:
        return count(verdict.tile_count, "square")
    reasons = [
        result.detail
        or f"{result.check} {result.score:g} {result.unit}, threshold {result.threshold:g}"
        for result in verdict.results
        if not result.passed
    ]
    return " ".join(reasons) or ", ".join(verdict.failed_checks)


def _short(source: str) -> str:
    return source if len(source) <= 48 else "…" + source[-47:]
