"""Thousands of JPEGs of 0.5 to 12 megapixels made of real photos; nothing in them is enlarged.

Each is one of three kinds: a photo encoded again as a whole (reduced where it is larger), a crop of
one, or a mosaic of crops, which alone reaches the largest sizes. What a file holds follows from the
seed and its number, so a larger set begins with the smaller one, and a set is written only once.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.filter.photos import open_photo

__all__ = ["MEGAPIXELS", "described", "write_files"]

MEGAPIXELS = (0.5, 12.0)
_ASPECTS = (1.0, 4 / 3, 3 / 2, 0.8)
_QUALITIES = (75, 85, 92, 95)
_LANCZOS = Image.Resampling.LANCZOS
_CELLS = (2, 3, 4, 5, 6)
"""of a mosaic, along each side"""


def write_files(folder: Path, photos: dict[str, Path], count: int, seed: int = 0) -> list[Path]:
    """The first `count` files of the set that `seed` names, written where they are not yet."""
    folder.mkdir(parents=True, exist_ok=True)
    of_what = folder / "made-of.json"
    made_of = {"photos": sorted(photos), "seed": seed}
    if of_what.exists() and json.loads(of_what.read_text()) != made_of:
        raise SystemExit(f"{folder} holds files made of other photos; name an empty folder.")
    of_what.write_text(json.dumps(made_of))
    files = []
    for index in range(count):
        rng = random.Random(f"{seed}/{index}")
        kind, image = _picture(rng, photos)
        path = folder / f"{index:05}-{kind}.jpg"
        if not path.exists():
            begun = path.with_suffix(".part")
            image().save(begun, "JPEG", quality=rng.choice(_QUALITIES))
            begun.replace(path)
        files.append(path)
    open_photo.cache_clear()
    return files


def described(files: list[Path]) -> dict[str, Any]:
    """What the set is: numbers by kind, megapixels, bytes, and a hash to tell it by."""
    whole, pixels = hashlib.sha256(), []
    for path in files:
        whole.update(hashlib.sha256(path.read_bytes()).digest())
        with Image.open(path) as image:
            pixels.append(image.width * image.height / 1e6)
    return {
        "count": len(files),
        "kinds": dict(Counter(path.stem.partition("-")[2] for path in files)),
        "megapixels": {
            "mean": round(float(np.mean(pixels)), 2),
            "least": round(min(pixels), 2),
            "most": round(max(pixels), 2),
        },
        "gigabytes": round(sum(path.stat().st_size for path in files) / 1e9, 2),
        "sha256": whole.hexdigest(),
    }


def _picture(rng: random.Random, photos: dict[str, Path]) -> tuple[str, Callable[[], Image.Image]]:
    """The kind of a file, and how to make its picture."""
    low, high = (np.log(bound * 1e6) for bound in MEGAPIXELS)
    pixels, aspect = float(np.exp(rng.uniform(low, high))), rng.choice(_ASPECTS)
    size = (int((pixels * aspect) ** 0.5), int((pixels / aspect) ** 0.5))
    kind = rng.choice(("whole", "crop", "mosaic"))
    names = list(photos)
    rng.shuffle(names)
    sizes = {name: open_photo(photos[name]).size for name in names}
    if kind == "whole":
        large = [name for name in names if sizes[name][0] * sizes[name][1] >= pixels]
        if large:
            w, h = sizes[large[0]]
            ratio = (pixels / (w * h)) ** 0.5
            reduced = (int(w * ratio), int(h * ratio))
            return kind, lambda: open_photo(photos[large[0]]).resize(reduced, _LANCZOS)
    if kind == "crop":
        fitting = [n for n in names if sizes[n][0] >= size[0] and sizes[n][1] >= size[1]]
        if fitting:
            box = _somewhere(rng, sizes[fitting[0]], size)
            return kind, lambda: open_photo(photos[fitting[0]]).crop(box)
    # No photo is as large as that: a mosaic.
    across = rng.choice([n for n in _CELLS if _fitting(sizes, size, n)])
    cell = (size[0] // across, size[1] // across)
    large = _fitting(sizes, size, across)
    parts = []
    for place in range(across * across):
        name = rng.choice(large)
        parts.append((place, name, _somewhere(rng, sizes[name], cell)))

    def mosaic() -> Image.Image:
        image = Image.new("RGB", (cell[0] * across, cell[1] * across))
        for place, name, box in parts:
            at = (place % across * cell[0], place // across * cell[1])
            image.paste(open_photo(photos[name]).crop(box), at)
        return image

    return "mosaic", mosaic


def _fitting(sizes: dict[str, tuple[int, int]], size: tuple[int, int], across: int) -> list[str]:
    """Photos that a cell of a mosaic can be cut from."""
    w, h = size[0] // across, size[1] // across
    return [name for name, (width, height) in sizes.items() if width >= w and height >= h]


def _somewhere(
    rng: random.Random, whole: tuple[int, int], part: tuple[int, int]
) -> tuple[int, int, int, int]:
    left, top = (rng.randint(0, w - p) for w, p in zip(whole, part, strict=True))
    return left, top, left + part[0], top + part[1]
