"""A labelled set made openly of real photos: what is in it follows from how it was made.

Every picture carries the name of its photo. Sets are split by photo (`benchmarks.filter.photos`).
What cannot be labelled was left out by eye, before anything was measured on the photo.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from benchmarks.filter.photos import FACES, GREY, PEOPLE, open_photo

__all__ = ["CUTS", "Picture", "blurred", "copies", "cut", "faces", "greyed", "moved", "written"]

_PIXELS = 800_000
_SCALE = 512
"""px of the shorter side in which radii of blur are given"""
_BREATH = np.array([2, 0, -2], np.int16)
"""levels of red, green and blue that make grey a little warm"""
_WORDS = ("SUMMER SALE", "follow @anna", "Grand Opening", "50% OFF", "good morning")
_SHOWING_TEXT = {
    *("grace_hopper", "clock_motion", "potted_plant", "circuit_board", "box", "boxes", "graffiti"),
    *("footballer", "toys", "sudoku"),
    *(f"signs_{n}" for n in range(1, 7)),
    *(f"board_{n}" for n in range(1, 6)),
}
"""with ribbons, numerals, signs or labels, which a detector may rightly find"""
_NOT_SHARP = {
    *("Aqua", "Storm", "summer_1am", "clock_motion", "moon", "retina", "hubble_deep_field"),
    *("apple", "orange", "sudoku", "basketball", "boxes", "notebook", "smarties", "board_5"),
    "signs_2",
}
"""photos without a sharp part of their own, or of which one cannot say"""
_HARDLY_COLOURED = {"sudoku", "board_5"}
_MOTIONS = (11, 21)
_ANGLES = (0, 30, 45, 90, 135)
CUTS: dict[str, tuple[float, float, float, float]] = {
    "2 % on every side": (0.02, 0.02, 0.02, 0.02),
    "3 % on every side": (0.03, 0.03, 0.03, 0.03),
    "5 % on every side": (0.05, 0.05, 0.05, 0.05),
    "5 % on the left": (0.05, 0.0, 0.0, 0.0),
    "5 % at the bottom": (0.0, 0.0, 0.0, 0.05),
}
"""shares of the width or height that copies lose: left, top, right, bottom"""


@dataclass(frozen=True, slots=True)
class Picture:
    """One file, what it was made of, and whether the check should reject it."""

    photo: str
    what: str
    bad: bool
    data: bytes


def _jpeg(image: Image.Image, quality: int = 90) -> bytes:
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=quality)
    return sink.getvalue()


def blurred(photos: dict[str, Path]) -> Iterator[Picture]:
    """Sharp as they are, or sharp in the middle alone; blurred by 2.5, 4 and 6 px (of 512)."""
    for name, path in photos.items():
        if name in _NOT_SHARP:
            continue
        image = open_photo(path, _PIXELS)
        unit = min(image.size) / _SCALE
        yield Picture(name, "as it is", False, _jpeg(image))
        for radius in (2.5, 4.0, 6.0):
            soft = image.filter(ImageFilter.GaussianBlur(radius * unit))
            yield Picture(name, f"blur {radius:g}", True, _jpeg(soft))
        w, h = image.size
        mask = Image.new("L", image.size)
        ImageDraw.Draw(mask).ellipse((w * 0.25, h * 0.25, w * 0.75, h * 0.75), fill=255)
        mask = mask.filter(ImageFilter.GaussianBlur(8))
        middle = Image.composite(image, image.filter(ImageFilter.GaussianBlur(6 * unit)), mask)
        yield Picture(name, "sharp middle", False, _jpeg(middle))


def moved(photos: dict[str, Path]) -> Iterator[Picture]:
    """Sharp as they are; blurred by a motion of 11 and 21 px (of 512) in five directions."""
    for name, path in photos.items():
        if name in _NOT_SHARP:
            continue
        image = open_photo(path, _PIXELS)
        yield Picture(name, "as it is", False, _jpeg(image))
        for length in _MOTIONS:
            for degrees in _ANGLES:
                pixels = max(3, round(length * min(image.size) / _SCALE))
                smeared = cv2.filter2D(np.asarray(image), -1, _line(pixels, degrees))
                blurred = Image.fromarray(np.asarray(smeared, np.uint8))
                yield Picture(name, f"motion {length}", True, _jpeg(blurred))


def _line(length: int, degrees: float) -> npt.NDArray[np.float32]:
    """A line of weight 1 through the middle of a square, anti-aliased."""
    kernel = np.zeros((length | 1, length | 1), np.float32)
    middle = length // 2
    across, down = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    for step in np.linspace(-middle, middle, 8 * length):
        x, y = middle + step * across, middle + step * down
        left, top = int(np.floor(x)), int(np.floor(y))
        for right, below in np.ndindex(2, 2):
            weight = abs(1 - right - (x - left)) * abs(1 - below - (y - top))
            if weight > 1e-9:
                kernel[top + below, left + right] += weight
    return np.asarray(kernel / kernel.sum(), np.float32)


def greyed(photos: dict[str, Path]) -> Iterator[Picture]:
    """Colour photos, whole and with a third of it; without any, as JPEG and with a breath of it."""
    for name, path in photos.items():
        if name in _HARDLY_COLOURED:
            continue
        image = open_photo(path, _PIXELS)
        grey = image.convert("L").convert("RGB")
        yield Picture(name, "grey", True, _jpeg(grey, 75))
        if name in GREY:
            continue
        yield Picture(name, "as it is", False, _jpeg(image))
        yield Picture(name, "third of colour", False, _jpeg(Image.blend(grey, image, 0.35)))
        tinted = np.clip(np.asarray(grey).astype(np.int16) + _BREATH, 0, 255)
        yield Picture(name, "near-grey", True, _jpeg(Image.fromarray(tinted.astype(np.uint8))))


def written(photos: dict[str, Path]) -> Iterator[Picture]:
    """Without words, with a watermark of 2 % of the height, with words of 5 to 15 %."""
    for name, path in photos.items():
        if name in _SHOWING_TEXT:
            continue
        rng = random.Random(name)
        image = open_photo(path, _PIXELS)
        yield Picture(name, "as it is", False, _jpeg(image))
        for share, bad in ((0.02, False), (0.05, True), (0.09, True), (0.15, True)):
            size = max(9.0, share * min(image.size))
            at = (rng.uniform(0.02, 0.3) * image.width, rng.uniform(0.1, 0.8) * image.height)
            if not bad:
                at = (0.7 * image.width, image.height - 1.6 * size)
            copy = image.copy()
            fill, edge = rng.choice([("white", "black"), ("black", "white"), ("#ffe000", "black")])
            ImageDraw.Draw(copy).text(
                at,
                "anna" if not bad else rng.choice(_WORDS),
                fill=fill,
                font=ImageFont.load_default(size),
                stroke_width=round(size / 25),
                stroke_fill=edge,
            )
            yield Picture(name, "watermark" if not bad else f"words {share:.0%}", bad, _jpeg(copy))


def copies(photos: dict[str, Path]) -> Iterator[Picture]:
    """The photo and its copies; whether two pictures are copies is whether they share the photo.

    A half of it, cut upright, counts as another photo.
    """
    for name, path in photos.items():
        image = open_photo(path, _PIXELS)
        w, h = image.size
        yield Picture(name, "as it is", False, _jpeg(image, 95))
        yield Picture(name, "quality 30", True, _jpeg(image, 30))
        yield Picture(name, "half as large", True, _jpeg(image.resize((w // 2, h // 2))))
        yield Picture(name, "brighter", True, _jpeg(ImageEnhance.Brightness(image).enhance(1.2)))
        trimmed = image.crop((w // 100, h // 100, w - w // 100, h - h // 100))
        yield Picture(name, "1 % cut off", True, _jpeg(trimmed))
        yield Picture(f"{name}, left half", "half", False, _jpeg(image.crop((0, 0, w // 2, h))))


def cut(photos: dict[str, Path], what: str) -> Iterator[Picture]:
    """The photo, and a copy that is cut as `CUTS` says, and encoded again."""
    left, top, right, bottom = CUTS[what]
    for name, path in photos.items():
        image = open_photo(path, _PIXELS)
        w, h = image.size
        box = (round(left * w), round(top * h), w - round(right * w), h - round(bottom * h))
        yield Picture(name, "as it is", False, _jpeg(image, 95))
        yield Picture(name, what, True, _jpeg(image.crop(box)))


def faces(photos: dict[str, Path]) -> Iterator[Picture]:
    """Photos of faces, and crops of photos without."""
    for name, path in photos.items():
        if name in PEOPLE:
            continue
        rng = random.Random(name)
        image = open_photo(path, _PIXELS)
        w, h = image.size
        if name in FACES:
            yield Picture(name, "as it is", True, _jpeg(image))
            yield Picture(name, "mirrored", True, _jpeg(image.transpose(Image.Transpose(0))))
            yield Picture(name, "dark", True, _jpeg(ImageEnhance.Brightness(image).enhance(0.5)))
        else:
            yield Picture(name, "as it is", False, _jpeg(image))
            side = rng.uniform(0.4, 0.8)
            x, y = rng.uniform(0, 1 - side) * w, rng.uniform(0, 1 - side) * h
            crop = image.crop((int(x), int(y), int(x + side * w), int(y + side * h)))
            yield Picture(name, "crop", False, _jpeg(crop))
