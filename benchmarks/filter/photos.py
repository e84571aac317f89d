"""Real photos to measure the filter with: those of Python wheels, and of free desktop wallpapers.

The wheels of scikit-image and scikit-learn are installed with `make install-dev`. More photos,
which are never committed, are looked for below a folder: unpack the wheels of matplotlib, scipy
1.9, imgaug, mahotas and gradio 4 there (`pip download --no-deps`, `unzip`), and the Debian packages
lomiri-wallpapers-16.04, mate-backgrounds and plasma-workspace-wallpapers (`apt-get download`,
`dpkg -x`). A name stands for a photo; whatever is made of it carries its name, so that sets are
split by photo and never by derivative, in three parts:

- `known`: those of scikit-image and scikit-learn, on which checks and thresholds are developed;
- `new`: the others above. Two thresholds were settled after results on them had been seen;
- `fresh`: those of the packages opencv-doc and lomiri-wallpapers-20.04, which came last: nothing
  was ever chosen with their results in view. Whoever develops a check leaves them alone.
"""

from __future__ import annotations

import bz2
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["COLOUR", "FACES", "GREY", "PEOPLE", "find_photos", "open_photo", "part"]

_WHEELS = {"skimage": "data", "sklearn": "datasets/images"}
_OF_WHEELS = (
    *("astronaut", "brick", "camera", "chelsea", "clock_motion", "coffee", "coins", "grass"),
    *("gravel", "hubble_deep_field", "ihc", "moon", "motorcycle_left", "retina", "rocket"),
    *("china", "flower"),
)
_SCIPY = "scipy/misc/face.dat"
_ELSEWHERE = {
    "raccoon": _SCIPY,
    "quokka": "imgaug/quokka.jpg",
    "luispedro": "data/luispedro.jpg",
    "grace_hopper": "sample_data/grace_hopper.jpg",
    "lion": "test_data/lion.jpg",
    "cheetah": "test_data/cheetah1.jpg",
    **{
        name: f"{name}_by_{author}.jpg"
        for name, author in (
            ("Bridge", "Sander_Klootwijk"),
            ("Dragonfly", "Bolly"),
            ("Picture_0B", "freespace"),
            ("Picture_1A", "freespace"),
            ("Wine", "Jakkub_Mede"),
            ("aitzgorri", "Aitzol_Berasategi"),
            ("free", "Peter_Nerlich"),
            ("friends", "Aitzol_Berasategi"),
            ("life", "Aitzol_Berasategi"),
            ("picosdeeuropa", "Aitzol_Berasategi"),
            ("seeding", "Clements_Engelhardt"),
            ("sunset", "Aitzol_Berasategi"),
        )
    },
    **{
        name: f"mate/nature/{name}.jpg"
        for name in (
            *("Aqua", "Blinds", "Dune", "FreshFlower", "Garden", "GreenMeadow", "LadyBird"),
            *("RainDrops", "Storm", "TwoWings", "Wood", "YellowFlower"),
        )
    },
    **{
        name: f"{name}/contents/images/2560x1600.jpg"
        for name in (
            *("BytheWater", "ColdRipple", "ColorfulCups", "EveningGlow", "FallenLeaf", "Grey"),
            *("Kite", "OneStandsOut", "Path", "summer_1am"),
        )
    },
}
_EXAMPLES = "opencv-doc/examples"
_FRESH = {
    "nuthatch": "backgrounds/Kleiber_by_Lukas_Baubkus.jpg",
    "potted_plant": f"{_EXAMPLES}/alphamat/input_images/plant.jpg",
    "monarch": f"{_EXAMPLES}/dnn_superres/butterfly.png",
    "robin": f"{_EXAMPLES}/hfs/data/000.jpg",
    "brick_house": f"{_EXAMPLES}/reg/home.png",
    **{
        name: f"{_EXAMPLES}/data/{file}"
        for name, file in (
            *(("town_from_above", "aero1.jpg"), ("aloe", "aloeL.jpg"), ("apple", "apple.jpg")),
            *(("baboon", "baboon.jpg"), ("basketball", "basketball1.png")),
            *(("circuit_board", "board.jpg"), ("box", "box.png"), ("boxes", "box_in_scene.png")),
            *(("building", "building.jpg"), ("butterfly", "butterfly.jpg")),
            *(("dog", "chicky_512.png"), ("notebook", "ela_original.jpg")),
            *(("fruits", "fruits.jpg"), ("graffiti", "graf1.png"), ("palace", "home.jpg")),
            *(("courtyard", "leuvenA.jpg"), ("footballer", "messi5.jpg"), ("orange", "orange.jpg")),
            *(("toys", "rubberwhale1.png"), ("smarties", "smarties.png")),
            *(("squirrel", "squirrel_cls.jpg"), ("sudoku", "sudoku.png")),
        )
    },
    **{f"signs_{n}": f"{_EXAMPLES}/text/scenetext0{n}.jpg" for n in range(1, 7)},
    **{f"board_{n}": f"{_EXAMPLES}/text/scenetext_segmented_word0{n}.jpg" for n in range(1, 6)},
}
FACES = ("astronaut", "grace_hopper", "luispedro")
"""photos of people whose face is seen"""
PEOPLE = ("basketball", "footballer", "signs_1")
"""photos of people of whose faces one cannot say; all others show none"""
GREY = (
    *("brick", "camera", "clock_motion", "coins", "grass", "gravel", "moon", "ColdRipple", "Grey"),
    *("basketball", "box", "boxes"),
)
COLOUR = tuple(name for name in (*_OF_WHEELS, *_ELSEWHERE, *_FRESH) if name not in GREY)


def find_photos(folder: Path | None) -> dict[str, Path]:
    """The photos that there are, by name."""
    found = {}
    for package, below in _WHEELS.items():
        spec = find_spec(package)
        places = spec.submodule_search_locations if spec is not None else None
        for path in (Path(places[0]) / below).iterdir() if places else ():
            if path.stem in _OF_WHEELS and path.suffix in {".png", ".jpg"}:
                found[path.stem] = path
    if folder is not None:
        files = [file for end in ("jpg", "png", "dat") for file in sorted(folder.rglob(f"*.{end}"))]
        for name, end in (_ELSEWHERE | _FRESH).items():
            for path in files:
                if path.as_posix().endswith(f"/{end}"):
                    found[name] = path
                    break
    return dict(sorted(found.items()))


def part(name: str) -> str:
    """Which part of the photos this one belongs to: known, new or fresh."""
    return "known" if name in _OF_WHEELS else "fresh" if name in _FRESH else "new"


@cache
def open_photo(path: Path, most: int = 12_000_000) -> Image.Image:
    """The photo, RGB, reduced to at most so many pixels and never enlarged."""
    if path.as_posix().endswith(_SCIPY):
        raw = np.frombuffer(bz2.decompress(path.read_bytes()), np.uint8)
        return Image.fromarray(raw.reshape(768, 1024, 3))
    image = Image.open(path).convert("RGB")
    ratio = (most / (image.width * image.height)) ** 0.5
    if ratio < 1:
        size = (int(image.width * ratio), int(image.height * ratio))
        image = image.resize(size, Image.Resampling.LANCZOS)
    return image
