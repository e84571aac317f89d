"""A preview of one judged image: what was found is drawn, why it stayed or went is written."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from enum import StrEnum

from PIL import Image, ImageDraw

from services.filter.checks import CHECKS, FORMAT
from services.filter.checks.sharpness import CHECK as SHARPNESS
from services.filter.checks.sharpness import tile_map
from services.filter.crop import squares
from services.filter.decode import Photo, Undecodable, decode
from services.filter.drawing import (
    BAD,
    GOOD,
    draw_boxes,
    draw_squares,
    font_of,
    sharpness_map,
    wrapped,
)
from services.filter.images import read_image
from services.filter.judge import judge
from services.filter.photos import load_collection, load_items, sources_of
from services.filter.scores import load_scores
from services.filter.sheet import sheet
from services.filter.verdicts import find_verdict
from tagloom.artifacts import layout
from tagloom.artifacts.dataset import Dataset, Square, Threshold, Verdict
from tagloom.errors import InvalidArgument, NotFound
from tagloom.store.interface import Store

__all__ = ["DEFAULT_SIDE", "MAX_SIDE", "View", "render_candidate", "render_verdict"]

DEFAULT_SIDE = 320
MAX_SIDE = 1024
_MIN_SIDE = 32
_QUALITY = 85
_CAPTION_WIDTH = 240
"""px that a caption gets at least, where the preview may be as wide"""


class View(StrEnum):
    """What a preview shows."""

    PHOTO = "photo"
    """boxes of text and faces, the squares that were cut, and below it the verdict"""
    PLAIN = "plain"
    """the same without a caption, for pages that write it themselves"""
    BLUR = "blur"
    """which tiles are sharp, without a caption"""
    SHEET = "sheet"
    """the photo, its map of sharpness, and all scores against their thresholds"""


@dataclass(frozen=True, slots=True)
class _Judged:
    verdict: Verdict
    cut: tuple[Square, ...]
    sharpness: float
    """the threshold that applies; the default where the check is off"""
    archive: Dataset | None = None
    """the imported dataset whose zips hold the image; None: it lies by itself in the store"""


def render_verdict(
    store: Store, dataset_id: str, sha256: str, max_side: int = 0, view: View = View.PHOTO
) -> bytes:
    """A JPEG of an image of a dataset, its longer side at most `max_side` px (0: 320; ≤ 1024).

    An undecodable image gives a grey card with the reason. Raises InvalidArgument (PREVIEW_SIZE),
    NotFound, DataLoss.
    """
    side = _side(max_side)
    dataset = Dataset.load(store, layout.dataset_manifest(dataset_id), f"datasets/{dataset_id}")
    verdict = find_verdict(store, dataset_id, sha256)
    cut = verdict.squares
    if verdict.kept and not cut:  # a table from before squares were written down
        cut = tuple(squares(verdict.width, verdict.height, dataset.crop, dataset.resolution))
    archive = None if dataset.collection else dataset
    judged = _Judged(verdict, cut, _sharpness(dataset.thresholds), archive)
    return _render(store, judged, side, view)


def render_candidate(
    store: Store,
    collection_id: str,
    sha256: str,
    thresholds: tuple[Threshold, ...],
    resolution: int,
    max_side: int = 0,
    view: View = View.PHOTO,
) -> bytes:
    """The same of an image of a collection, judged by the scores that are known of it.

    Checks that compare photos see this one alone. Raises as `render_verdict`.
    """
    side = _side(max_side)
    sources = sources_of(load_items(store, load_collection(store, collection_id)))
    if sha256 not in sources:
        raise NotFound(
            f"collections/{collection_id} has no image {sha256[:80]!r}; list its items to see what "
            "it has.",
            reason="IMAGE_NOT_FOUND",
            field="sha256",
            sha256=sha256[:80],
        )
    names = [name for name in CHECKS if any(t.check == name and t.enabled for t in thresholds)]
    wanted = {CHECKS[name].source for name in names} | {FORMAT}
    measured = load_scores(store, [sha256], [name for name in CHECKS if name in wanted])
    verdict = judge(sha256, sources[sha256], measured.get(sha256, {}), thresholds, resolution or 1)
    return _render(store, _Judged(verdict, (), _sharpness(thresholds)), side, view)


def _side(max_side: int) -> int:
    side = max_side or DEFAULT_SIDE
    if not _MIN_SIDE <= side <= MAX_SIDE:
        raise InvalidArgument(
            f"A preview of {max_side} px cannot be had; ask for {_MIN_SIDE} to {MAX_SIDE} px.",
            reason="PREVIEW_SIZE",
            field="max_side",
        )
    return side


def _sharpness(thresholds: tuple[Threshold, ...]) -> float:
    found = (each.value for each in thresholds if each.check == SHARPNESS.name and each.enabled)
    return next(found, SHARPNESS.threshold)


def _render(store: Store, judged: _Judged, side: int, view: View) -> bytes:
    verdict = judged.verdict
    color = GOOD if verdict.kept else BAD
    try:
        photo = decode(_bytes(store, judged), at_least=side)
    except Undecodable as error:
        card = Image.new("RGB", (side, side // 2), "#6b6b6b")
        return _jpeg(_with_caption(card, side, error.detail, BAD))
    if view is View.BLUR:
        return _jpeg(_blur(photo, judged, side))
    picture = _drawn(photo, judged, side)
    if view is View.SHEET:
        blur = _blur(photo, judged, side)
        return _jpeg(sheet(picture, blur, verdict, _sentence(verdict), side))
    if view is View.PLAIN:
        return _jpeg(picture)
    return _jpeg(_with_caption(picture, side, _sentence(verdict), color))


def _bytes(store: Store, judged: _Judged) -> bytes:
    if judged.archive is None:
        return read_image(store, judged.verdict.sha256)
    # Images of an imported dataset lie in its zip alone.
    square = judged.cut[0]  # further ones are copies
    key = layout.dataset_held_out if square.held_out else layout.dataset_images
    place = key(judged.archive.id, judged.archive.files)
    with store.open(place) as stream, zipfile.ZipFile(stream) as archive:
        return archive.read(square.file)


def _drawn(photo: Photo, judged: _Judged, side: int) -> Image.Image:
    picture = Image.fromarray(photo.fit(side))
    scale = picture.width / photo.width
    picture = draw_squares(picture, judged.cut, scale)
    draw_boxes(picture, judged.verdict.results, scale, font_of(max(9, min(14, side // 40))))
    return picture


def _blur(photo: Photo, judged: _Judged, side: int) -> Image.Image:
    tiles, asked = tile_map(photo)
    return sharpness_map(Image.fromarray(photo.fit(side)), tiles, asked, judged.sharpness)


def _jpeg(image: Image.Image) -> bytes:
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=_QUALITY)
    return sink.getvalue()


def _sentence(verdict: Verdict) -> str:
    if verdict.kept and not verdict.tiles:
        return "would stay"
    if verdict.kept:
        label = f", {verdict.label}" if verdict.label else ""
        return f"kept: {verdict.tiles} square{'s' * (verdict.tiles != 1)}{label}"
    if not verdict.results:
        return "Not scored yet."
    return " ".join(result.detail for result in verdict.results if not result.passed)


def _with_caption(picture: Image.Image, side: int, text: str, color: str) -> Image.Image:
    """`picture` above a bar with `text`, both within `side` px."""
    width = max(picture.width, min(side, _CAPTION_WIDTH))
    font = font_of(max(10, min(16, width // 24)))
    line_height = int(ImageDraw.Draw(picture).textbbox((0, 0), "Ag", font=font)[3]) + 3
    lines = wrapped(text, width - 8, font)[: max(1, side // 2 // line_height)]
    bar = line_height * len(lines) + 4
    if picture.height + bar > side:
        picture.thumbnail((width, max(1, side - bar)))
    canvas = Image.new("RGB", (width, picture.height + bar), color)
    canvas.paste("#202020", (0, 0, width, picture.height))
    canvas.paste(picture, ((width - picture.width) // 2, 0))
    draw = ImageDraw.Draw(canvas)
    for row, line in enumerate(lines):
        draw.text((4, picture.height + 2 + row * line_height), line, fill="white", font=font)
    return canvas
