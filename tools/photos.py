"""The real photos of the demo and of the packaged start network, by SHA-256 and licence.

All of them ship in the wheels of scikit-image and scikit-learn (the `demo` extra). The source
photos train the start network, the target photos are what the demo continues with: no file is in
both. The demo's folder holds, besides the targets, whatever else the two wheels carry, so that the
filter has real work. Out of it stay the source photos, the stereo pair `motorcycle_*` (two views of
one scene would stand on both sides of the held-out split, and no licence is stated for them),
`logo.png` (a drawing in colour, which none of the six checks can tell from a photo) and
`retina.jpg` (two thirds of its squares are plain red).
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tagloom.errors import DataLoss, FailedPrecondition

__all__ = ["SOURCE", "TARGET", "Photo", "copy_demo_folder", "copy_photos"]

FOLDERS = {"scikit-image": ("skimage", "data"), "scikit-learn": ("sklearn", "datasets/images")}
SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".tif", ".webp"}
LEFT_OUT = {"motorcycle_left.png", "motorcycle_right.png", "logo.png", "retina.jpg"}


@dataclass(frozen=True, slots=True)
class Photo:
    """One file of a wheel."""

    name: str
    package: str
    sha256: str
    license: str
    """as the package states it"""


SOURCE = (
    Photo(
        "hubble_deep_field.jpg",
        "scikit-image",
        "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
        "public domain (NASA)",
    ),
    Photo(
        "ihc.png",
        "scikit-image",
        "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
        "no known copyright restrictions (CMMI)",
    ),
    Photo(
        "rocket.jpg",
        "scikit-image",
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        "public domain (SpaceX)",
    ),
)

TARGET = (
    Photo(
        "chelsea.png",
        "scikit-image",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        "CC0 (Stefan van der Walt)",
    ),
    Photo(
        "coffee.png",
        "scikit-image",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        "CC0 (Rachel Michetti)",
    ),
    Photo(
        "china.jpg",
        "scikit-learn",
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
        "CC BY 2.0 (danielbuechele)",
    ),
    Photo(
        "flower.jpg",
        "scikit-learn",
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
        "CC BY 2.0 (vultilion)",
    ),
)


def copy_photos(photos: tuple[Photo, ...], folder: Path) -> None:
    """Copies the named photos into `folder`; DataLoss if a wheel carries other bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for photo in photos:
        source = _folder(photo.package) / photo.name
        data = source.read_bytes()
        if hashlib.sha256(data).hexdigest() != photo.sha256:
            raise DataLoss(
                f"{photo.name} of {photo.package} is not the file that is listed here; install "
                "the version that requirements.txt names.",
                reason="PHOTO_CHANGED",
                photo=photo.name,
            )
        (folder / photo.name).write_bytes(data)


def copy_demo_folder(folder: Path) -> int:
    """Fills `folder` with the demo's photos; returns how many files it holds."""
    copy_photos(TARGET, folder)
    kept_out = LEFT_OUT | {photo.name for photo in SOURCE}
    for source in _images():
        if source.name not in kept_out:
            shutil.copyfile(source, folder / source.name)
    return sum(1 for _ in folder.iterdir())


def _images() -> Iterator[Path]:
    for package in FOLDERS:
        for path in sorted(_folder(package).iterdir()):
            if path.suffix in SUFFIXES:
                yield path


def _folder(package: str) -> Path:
    module, inside = FOLDERS[package]
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise FailedPrecondition(
            f"{package} is not installed; its wheel carries the demo's photos: "
            "install Tagloom's `demo` extra.",
            reason="DEMO_PHOTOS_MISSING",
            package=package,
        )
    return Path(spec.origin).parent / inside
