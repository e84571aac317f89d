"""All about one judged photo: its boxes, what was cut, where it is sharp, how it scored."""

from __future__ import annotations

from PIL import Image, ImageDraw

from services.filter.drawing import (
    BAD,
    GOOD,
    INK,
    PAPER,
    QUIET,
    Font,
    font_of,
    score_bars,
    wrapped,
)
from tagloom.artifacts.dataset import Verdict

__all__ = ["sheet"]

_LEFT = 0.6
"""share of the width that the photo gets"""
_ASPECT = 0.66
"""height to width"""


def sheet(
    photo: Image.Image,
    blur: Image.Image | None,
    verdict: Verdict,
    sentence: str,
    width: int,
) -> Image.Image:
    """A sheet `width` px wide and at most as high.

    photo: with its boxes and squares; blur: the map of its sharpness, where that was judged.
    """
    small, large = font_of(max(9, width // 72)), font_of(max(11, width // 52))
    gap, color = max(4, width // 64), GOOD if verdict.kept else BAD
    left = int(width * _LEFT)
    right = width - left - 3 * gap
    canvas = Image.new("RGB", (width, int(width * _ASPECT)), PAPER)
    drawing = ImageDraw.Draw(canvas)
    lines = wrapped(sentence, width - 2 * gap, large)[:3]
    line = int(drawing.textbbox((0, 0), "Ag", font=large)[3]) + 4
    head = line * len(lines) + gap
    drawing.rectangle((0, 0, width, head), fill=color)
    for row, text in enumerate(lines):
        drawing.text((gap, gap // 2 + row * line), text, fill="white", font=large)
    top = head + gap
    name = _ended(f"{verdict.source} · {verdict.width} x {verdict.height} px", left, small)
    foot = int(drawing.textbbox((0, 0), "Ag", font=small)[3]) + 4
    placed = _fitted(photo, left, canvas.height - top - gap - foot)
    canvas.paste(placed, (gap, top))
    drawing.text((gap, top + placed.height + 4), name, fill=QUIET, font=small)
    x, y = left + 2 * gap, top
    bars = score_bars(verdict.results, right, small)
    room = canvas.height - y - bars.height - 2 * gap - 2 * foot
    if blur is not None and room > right // 4:
        drawing.text((x, y), "Sharpness by tile; framed ones are asked", fill=INK, font=small)
        y += foot
        shown = _fitted(blur, right, room)
        canvas.paste(shown, (x, y))
        y += shown.height + gap
    title = "Scores; the line is the threshold, right of it is good"
    drawing.text((x, y), title, fill=INK, font=small)
    canvas.paste(bars, (x, y + foot))
    used = max(y + foot + bars.height + gap, top + placed.height + foot + gap)
    return canvas.crop((0, 0, width, min(canvas.height, used)))


def _fitted(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Reduced or enlarged to fit."""
    ratio = min(width / picture.width, max(1, height) / picture.height)
    size = (max(1, int(picture.width * ratio)), max(1, int(picture.height * ratio)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _ended(text: str, width: int, font: Font) -> str:
    """The text, its beginning left out where it is too long."""
    drawing = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    while len(text) > 8 and drawing.textlength(text, font=font) > width:
        text = "…" + text[2:]
    return text
