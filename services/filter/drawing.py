"""What is drawn on previews: boxes, squares, the map of sharpness, scores against thresholds."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from services.filter.closeness import margin
from tagloom.artifacts.dataset import Box, CheckResult, Square

__all__ = [
    "BAD",
    "GOOD",
    "INK",
    "PAPER",
    "QUIET",
    "Font",
    "bound",
    "draw_boxes",
    "draw_squares",
    "font_of",
    "score_bars",
    "sharpness_map",
    "wrapped",
]

GOOD, BAD = "#1a7f37", "#b3261e"
INK, QUIET, PAPER, RULE = "#1f2328", "#59636e", "#ffffff", "#d1d9e0"

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

_COLORS = {"text": "#ffb000", "faces": "#ff3bd4"}
_OTHER_COLOR = "#00c2ff"
_HELD_OUT_COLOR = "#7fd1ff"
_CUT_COLOR = "#ffffff"
_OUTSIDE = 0.45
"""brightness of what is not cut"""
_MAX_NAMED = 3
"""boxes of a check that bear its name and score; on a page of text the names would hide the text"""
_MAX_SQUARES = 400
"""drawn one by one; more would be a net over the photo"""


def font_of(size: int) -> Font:
    """The font of all previews, which comes with Pillow."""
    return ImageFont.load_default(size)


def draw_squares(picture: Image.Image, cut: Sequence[Square], scale: float) -> Image.Image:
    """The picture with the squares that were cut outlined, and the rest darkened."""
    if not cut:
        return picture
    mask = Image.new("L", picture.size, 0)
    drawing = ImageDraw.Draw(mask)
    places = [_scaled(square, scale) for square in cut[:_MAX_SQUARES]]
    for place in places:
        drawing.rectangle(place, fill=255)
    darkened = Image.eval(picture, lambda value: int(value * _OUTSIDE))
    darkened.paste(picture, mask=mask)
    drawing = ImageDraw.Draw(darkened)
    for square, place in zip(cut, places, strict=False):
        color = _HELD_OUT_COLOR if square.held_out else _CUT_COLOR
        drawing.rectangle(place, outline=color)
    return darkened


def _scaled(square: Square, scale: float) -> tuple[float, float, float, float]:
    left, top, side = (value * scale for value in (square.left, square.top, square.side))
    return left, top, left + max(1.0, side) - 1, top + max(1.0, side) - 1


def draw_boxes(
    picture: Image.Image, results: Sequence[CheckResult], scale: float, font: Font
) -> None:
    """What the checks found, with its confidence; boxes of a passed check are thin."""
    drawing = ImageDraw.Draw(picture)
    drawn: set[Box] = set()
    for result in results:
        boxes = [box for box in result.boxes if box not in drawn]  # two checks may share them
        drawn.update(boxes)
        color = _COLORS.get(result.check, _OTHER_COLOR)
        for box in boxes:
            left, top = box.left * scale, box.top * scale
            right, bottom = max(left, box.right * scale), max(top, box.bottom * scale)
            place = (left, top, right, bottom)
            drawing.rectangle(place, outline=color, width=1 if result.passed else 3)
            if len(boxes) <= _MAX_NAMED:
                _name_box(
                    drawing, picture.size, place, f"{result.check} {box.score:.2f}", color, font
                )


def _name_box(
    drawing: ImageDraw.ImageDraw,
    size: tuple[int, int],
    place: tuple[float, float, float, float],
    name: str,
    color: str,
    font: Font,
) -> None:
    """Above the box where there is room, so that it hides nothing of what was found."""
    left, top, _, bottom = place
    width, height = drawing.textbbox((0, 0), name, font=font)[2:]
    x = max(0.0, min(left, size[0] - width - 4))
    y = top - height - 3 if top > height + 3 else bottom + 1
    y = min(y, size[1] - height - 3)
    drawing.rectangle((x, y, x + width + 4, y + height + 2), fill=color)
    drawing.text((x + 2, y), name, fill="black", font=font)


def sharpness_map(
    picture: Image.Image,
    tiles: npt.NDArray[np.float32],
    asked: npt.NDArray[np.bool_],
    threshold: float,
) -> Image.Image:
    """The picture in grey, its tiles tinted: green above the threshold, red below, and strongly
    where a tile has edges enough to be asked.

    tiles, asked: as `checks.sharpness.tile_map` gives them.
    """
    room = np.where(tiles >= threshold, 1 - threshold, threshold)
    away = np.clip((tiles - threshold) / np.maximum(room, 1e-6), -1, 1)
    tint = np.where(
        (away >= 0)[..., None],
        np.array([26, 170, 70], np.float32),
        np.array([214, 40, 30], np.float32),
    )
    strength = np.where(asked, 0.35 + 0.4 * np.abs(away), 0.12).astype(np.float32)
    size = picture.size
    grey = np.asarray(picture.convert("L"), np.float32)[..., None]
    tint, strength = (
        np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST), np.float32)
        for plane in (tint, strength)
    )
    mixed = grey * (1 - strength[..., None]) + tint * strength[..., None]
    result = Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))
    _outline(result, asked)
    return result


def _outline(picture: Image.Image, asked: npt.NDArray[np.bool_]) -> None:
    """Thin frames around the tiles that were asked."""
    rows, columns = asked.shape
    drawing = ImageDraw.Draw(picture)
    for row, column in zip(*np.nonzero(asked), strict=True):
        left, right = (int(edge * picture.width / columns) for edge in (column, column + 1))
        top, bottom = (int(edge * picture.height / rows) for edge in (row, row + 1))
        # Of a photo of a few pixels by thousands, a preview has less than a pixel a tile.
        edges = (left, top, max(left, right - 1), max(top, bottom - 1))
        drawing.rectangle(edges, outline="#ffffff")


def score_bars(results: Sequence[CheckResult], width: int, font: Font) -> Image.Image:
    """One line a check: its name, its score, and a bar from the threshold in the middle to the
    right (passed) or to the left (failed), as long as the margin."""
    drawing = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    line = int(drawing.textbbox((0, 0), "Ag", font=font)[3]) + 9
    names = max((drawing.textlength(r.check, font=font) for r in results), default=0.0)
    rules = max((drawing.textlength(_rule(r), font=font) for r in results), default=0.0)
    picture = Image.new("RGB", (width, max(1, line * len(results))), PAPER)
    drawing = ImageDraw.Draw(picture)
    left, right = int(names) + 10, width - int(rules) - 8
    middle = (left + right) / 2
    for row, result in enumerate(results):
        y, color = row * line, GOOD if result.passed else BAD
        drawing.text((0, y + 3), result.check, fill=INK if result.passed else BAD, font=font)
        drawing.line((left, y + line / 2, right, y + line / 2), fill=RULE, width=1)
        end = middle + margin(result) * (right - left) / 2
        drawing.rectangle((min(middle, end), y + 5, max(middle, end), y + line - 6), fill=color)
        drawing.line((middle, y + 2, middle, y + line - 3), fill=INK, width=2)
        drawing.text((right + 8, y + 3), _rule(result), fill=QUIET, font=font)
    return picture


def _rule(result: CheckResult) -> str:
    """`71.2 %, at least 40 %`."""
    if result.unit in ("valid", "boolean"):
        return "yes" if result.passed else "no"
    # The font has no signs for "not less" and "not greater".
    side, short = "min" if result.minimum else "max", "ratio" if result.unit == "ratio" else ""
    return f"{bound(result.score, result.unit)} ({side} {bound(result.threshold, short)})"


def bound(value: float, unit: str) -> str:
    """A score or threshold with its unit: `40 %`, `16 levels`."""
    if unit == "ratio":
        return f"{_number(100 * value)} %"
    return f"{_number(value)} {'' if unit == 'confidence' else unit}".rstrip()


def _number(value: float) -> str:
    """Three digits, and never an exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def wrapped(text: str, width: float, font: Font) -> list[str]:
    """The text in lines of at most `width` px."""
    drawing = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    columns = max(8, int(width / drawing.textlength("n", font=font)))
    return textwrap.wrap(text, columns)
