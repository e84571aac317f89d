"""The photos of the transfer benchmark: flowers to learn, other flowers to judge by, and a source.

They are cut-out photographs on white, one subject each, of Tux Paint's stamp collection
(GPL-2.0; Debian's package `tuxpaint-stamps-default`, 2022.06.04). They are read where that package
installs them and never become part of this project. No file is in two of the three sets.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tagloom.errors import DataLoss, NotFound

__all__ = ["INSTALLED", "PhotoSet", "photo_sets", "write_squares"]

INSTALLED = Path("/usr/share/tuxpaint/stamps")
SIZE = 64
"""px of a square as it is written; the filter reduces it"""

SOURCE_FOLDERS = (
    "animals/birds",
    "animals/fish",
    "animals/mammals",
    "animals/mammals/bovines",
    "food/fruit",
    "food/vegetables",
)
TARGET_FOLDER = "plants/flowers"
MIN_SIDE = 80
"""px of the longer side: smaller photos would be blurred by enlarging them"""
DRAWINGS = {"hedgehog.png"}


@dataclass(frozen=True, slots=True)
class PhotoSet:
    """Files, and how many squares are cut from each."""

    name: str
    files: tuple[Path, ...]
    squares: int

    @property
    def sha256(self) -> str:
        """Of all the files, in their order."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()


EXPECTED = {
    "source": "1f08c86136f9b3df7d07822cbafecdf74c0bd9ef00c7c75b899b8f170b75bf13",
    "target": "3b225c80f88282f36db3a5354ce33634633f91a4cfd18624b18b523dde954033",
    "held-out": "9c58e6cfe2ae6a4876594afb1ab767cd51290773966633bdd04d4dfc902b6d29",
}


def photo_sets(folder: Path) -> tuple[PhotoSet, PhotoSet, PhotoSet]:
    """Source, target (at most 100 squares) and held-out photos, disjoint by file.

    Every second flower is held out. Raises NotFound (PHOTOS_MISSING) without the package, DataLoss
    (PHOTO_CHANGED) when its files are not those that the committed figures come from.
    """
    if not (folder / TARGET_FOLDER).is_dir():
        raise NotFound(
            f"{folder} holds no stamps: install Debian's package tuxpaint-stamps-default, or name "
            "a folder where it is unpacked with --photos.",
            reason="PHOTOS_MISSING",
        )
    source = [file for name in SOURCE_FOLDERS for file in _photos(folder / name)]
    flowers = _photos(folder / TARGET_FOLDER)
    sets = (
        PhotoSet("source", tuple(source), squares=8),
        PhotoSet("target", tuple(flowers[::2]), squares=8),
        PhotoSet("held-out", tuple(flowers[1::2]), squares=24),
    )
    for photos in sets:
        if photos.sha256 != EXPECTED[photos.name]:
            raise DataLoss(
                f"The {photos.name} photos under {folder} are not those of version 2022.06.04 of "
                f"the package (SHA-256 over all: {photos.sha256}).",
                reason="PHOTO_CHANGED",
            )
    return sets


def write_squares(photos: PhotoSet, folder: Path) -> int:
    """Cuts the squares into a new folder, the same ones each time; returns how many.

    Each shows 0.7 to 1 times the longer side of its photo, on white, at a place of its own.
    """
    draft = folder.with_name(f"{folder.name}.draft")
    draft.mkdir(parents=True, exist_ok=True)
    for file in photos.files:
        with Image.open(file) as opened:
            photo = _on_white(opened.convert("RGBA"))
        chance = random.Random(file.name)
        for index in range(photos.squares):
            side = round(photo.width * chance.uniform(0.7, 1.0))
            left, top = (chance.randint(0, photo.width - side) for _ in range(2))
            square = photo.crop((left, top, left + side, top + side))
            square = square.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
            square.save(draft / f"{file.stem}-{index:02d}.png")
    if not folder.is_dir():
        draft.rename(folder)
    return len(photos.files) * photos.squares


def _photos(folder: Path) -> list[Path]:
    kept = []
    for file in sorted(folder.glob("*.png")):
        with Image.open(file) as photo:
            if max(photo.size) >= MIN_SIDE and file.name not in DRAWINGS:
                kept.append(file)
    return kept


def _on_white(photo: Image.Image) -> Image.Image:
    side = max(photo.size)
    square = Image.new("RGBA", (side, side), "white")
    place = ((side - photo.width) // 2, (side - photo.height) // 2)
    square.alpha_composite(photo, place)
    return square.convert("RGB")


def counts(sets: Sequence[PhotoSet]) -> dict[str, int]:
    """Squares by set."""
    return {photos.name: len(photos.files) * photos.squares for photos in sets}
