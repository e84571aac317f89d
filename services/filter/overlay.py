"""A preview of one judged image: what was found is drawn, why it went is written."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from services.filter.crop import squares
from services.filter.decode import Undecodable, decode
from services.filter.images import read_image
from services.filter.verdicts import find_verdict
from tagloom.artifacts import layout
from tagloom.artifacts.dataset import CheckResult, Dataset, Square, Verdict
from tagloom.errors import InvalidArgument
from tagloom.store.interface import Store

__all__ = ["DEFAULT_SIDE", "MAX_SIDE", "render_verdict"]

DEFAULT_SIDE = 320
MAX_SIDE = 1024
_MIN_SIDE = 32
_QUALITY = 85
_CAPTION_WIDTH = 240
"""px that a caption gets at least, where the preview may be as wide"""

_COLORS = {"text": "#ffb000", "faces": "#ff3bd4"}
_CUT_COLOR = "#ffffff"
_GOOD, _BAD = "#1a7f37", "#b3261e"


def render_verdict(store: Store, dataset_id: str, sha256: str, max_side: int = 0) -> bytes:
    """A JPEG whose longer side is at most `max_side` px (0: 320, at most 1024).

    Boxes of text and faces with their confidence (those of a passed check thin), the squares that
    were cut from a survivor, and below it the verdict. An undecodable image gives a grey card with
    the reason.

    Raises InvalidArgument (PREVIEW_SIZE), NotFound, DataLoss.
    """
    side = max_side or DEFAULT_SIDE
    if not _MIN_SIDE <= side <= MAX_SIDE:
        raise InvalidArgument(
            f"A preview of {max_side} px cannot be had; ask for {_MIN_SIDE} to {MAX_SIDE} px.",
            reason="PREVIEW_SIZE",
            field="max_side",
        )
    dataset = Dataset.load(store, layout.dataset_manifest(dataset_id), f"datasets/{dataset_id}")
    verdict = find_verdict(store, dataset_id, sha256)
    try:
        photo = decode(read_image(store, sha256), at_least=side)
    except Undecodable as error:
        card = Image.new("RGB", (side, side // 2), "#6b6b6b")
        return _jpeg(_with_caption(card, side, error.detail, _BAD))
    picture = Image.fromarray(photo.fit(side))
    draw, scale = ImageDraw.Draw(picture), picture.width / photo.width
    if verdict.kept:
        cut = verdict.squares or squares(
            photo.width, photo.height, dataset.crop, dataset.resolution
        )  # of a table from before squares were written down
        _draw_squares(draw, cut, scale)
    for result in verdict.results:
        _draw_boxes(draw, result, scale)
    color = _GOOD if verdict.kept else _BAD
    return _jpeg(_with_caption(picture, side, _sentence(verdict), color))


def _jpeg(image: Image.Image) -> bytes:
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=_QUALITY)
    return sink.getvalue()


def _sentence(verdict: Verdict) -> str:
    if verdict.kept:
        return f"kept: {verdict.tiles} square{'s' * (verdict.tiles != 1)}"
    return " ".join(result.detail for result in verdict.results if not result.passed)


def _draw_squares(draw: ImageDraw.ImageDraw, cut: Sequence[Square], scale: float) -> None:
    for square in cut:
        left, top, side = (value * scale for value in (square.left, square.top, square.side))
        draw.rectangle((left, top, left + side - 1, top + side - 1), outline=_CUT_COLOR)


def _draw_boxes(draw: ImageDraw.ImageDraw, result: CheckResult, scale: float) -> None:
    color = _COLORS.get(result.check, "#00c2ff")
    font = ImageFont.load_default(11)
    for box in result.boxes:
        left, top, right, bottom = (v * scale for v in (box.left, box.top, box.right, box.bottom))
        right, bottom = max(left, right), max(top, bottom)
        draw.rectangle((left, top, right, bottom), outline=color, width=1 if result.passed else 3)
        label = f"{result.check} {box.score:.2f}"
        size = draw.textbbox((left, top), label, font=font)
        draw.rectangle(size, fill=color)
        draw.text((left, top), label, fill="black", font=font)


def _with_caption(picture: Image.Image, side: int, text: str, color: str) -> Image.Image:
    """`picture` above a bar with `text`, both within `side` px."""
    width = max(picture.width, min(side, _CAPTION_WIDTH))
    font = ImageFont.load_default(max(10, min(16, width // 24)))
    probe = ImageDraw.Draw(picture)
    columns = max(8, int(width / probe.textlength("n", font=font)))
    line_height = int(probe.textbbox((0, 0), "Ag", font=font)[3]) + 3
    lines = textwrap.wrap(text, columns)[: max(1, side // 2 // line_height)]
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
