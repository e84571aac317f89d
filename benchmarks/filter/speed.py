"""How fast does the filter look at photos, next to cleanvision, imagededup and a plain loop?

    python -m benchmarks.filter.speed --photos FOLDER --rivals PYTHON [--files 2000] [--rounds 3]

One core, the same JPEGs of 0.5 to 12 megapixels (crops, re-encodings and mosaics of real photos,
`benchmarks.filter.photos`; nothing is enlarged), in portions, the rivals in turn. PYTHON is that of
an environment with cleanvision and imagededup (`benchmarks/filter/rivals.py`).

- cheap: bytes to hash, size, aspect ratio, sharpness, grey and perceptual hash, against
  cleanvision's blurry, grayscale, odd size, odd aspect ratio, exact and near duplicates;
- hash: bytes to perceptual hash, against imagededup's PHash;
- all: every check of the default profile, against the loop that one would write: decode in full,
  Crete's blur (scikit-image), the channels' spread, imagededup's kind of hash, the same text
  network and dlib's HOG at full size, one after the other. On some files only: it is slow.

Prints one JSON document: medians of seconds and of ratios, processor time too.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from benchmarks.filter.photos import find_photos, open_photo
from services.filter.checks import CHECKS, SCORING_LONG_SIDE, SCORING_SIDE
from services.filter.checks import text as text_check
from services.filter.decode import decode
from services.filter.profile import profile

CHEAP = ("format", "resolution", "aspect", "sharpness", "grayscale", "duplicates")
ALL = tuple(dict.fromkeys(CHECKS[each.check].source for each in profile(()) if each.enabled))
MEGAPIXELS = (0.5, 12.0)
_SCRIPT = Path(__file__).with_name("rivals.py")


def write_files(folder: Path, photos: dict[str, Path], count: int, seed: int = 0) -> list[Path]:
    """JPEGs made of the photos: crops, re-encodings, and mosaics for the large sizes."""
    rng = random.Random(seed)
    names, files = list(photos), []
    for index in range(count):
        pixels = np.exp(rng.uniform(np.log(MEGAPIXELS[0]), np.log(MEGAPIXELS[1]))) * 1e6
        aspect = rng.choice([1.0, 4 / 3, 3 / 2, 0.8])
        size = (int((pixels * aspect) ** 0.5), int((pixels / aspect) ** 0.5))
        image = Image.new("RGB", size)
        x = y = height = 0
        while y < size[1]:  # rows of crops until the picture is full: one, if it is large enough
            photo = open_photo(photos[rng.choice(names)])
            w, h = min(photo.width, size[0] - x), min(photo.height, size[1] - y)
            left, top = rng.randint(0, photo.width - w), rng.randint(0, photo.height - h)
            image.paste(photo.crop((left, top, left + w, top + h)), (x, y))
            x, height = x + w, max(height, h)
            if x >= size[0]:
                x, y, height = 0, y + height, 0
        path = folder / f"{index:05}.jpg"
        image.save(path, "JPEG", quality=rng.choice([75, 85, 92, 95]))
        files.append(path)
    return files


def scored(checks: Sequence[str]) -> Callable[[Sequence[Path]], dict[str, float]]:
    """Ours: one decode, then the checks."""

    def work(files: Sequence[Path]) -> None:
        for path in files:
            data = path.read_bytes()
            hashlib.sha256(data).hexdigest()
            photo = decode(data, at_least=SCORING_SIDE, at_least_long=SCORING_LONG_SIDE)
            for name in checks:
                CHECKS[name].score(photo)

    return timed(work)


def timed(work: Callable[[Sequence[Path]], None]) -> Callable[[Sequence[Path]], dict[str, float]]:
    """Seconds that the work takes."""

    def run(files: Sequence[Path]) -> dict[str, float]:
        begin, cpu = time.perf_counter(), time.process_time()
        work(files)
        return {"seconds": time.perf_counter() - begin, "cpu": time.process_time() - cpu}

    return run


def plain_loop(files: Sequence[Path]) -> None:
    """What one would write: each library in turn on the whole picture."""
    import dlib
    from skimage import measure

    detector = dlib.get_frontal_face_detector()
    blur_effect: Callable[..., float] = measure.blur_effect
    for path in files:
        data = path.read_bytes()
        hashlib.sha256(data).hexdigest()
        image = Image.open(io.BytesIO(data)).convert("RGB")
        rgb = np.asarray(image)
        blur_effect(rgb, channel_axis=2)
        (rgb.max(axis=2).astype(np.int16) - rgb.min(axis=2)).mean()
        grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS))
        cv2.dct(grey.astype(np.float32))
        text_check._lines(text_check._probability(rgb))
        detector(rgb, 0)


def rival(python: str, name: str) -> Callable[[Sequence[Path]], dict[str, float]]:
    """A rival, in a process of its own; imports are not counted."""

    def run(files: Sequence[Path]) -> dict[str, float]:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(
            [python, str(_SCRIPT), name],
            input=json.dumps([str(path) for path in files]),
            capture_output=True,
            text=True,
            check=True,
            env={**environment, "OMP_NUM_THREADS": "1"},
        )
        answer = json.loads(done.stdout)
        return {"seconds": answer["seconds"], "cpu": answer["cpu"]}

    return run


def race(
    ours: Callable[[Sequence[Path]], dict[str, float]],
    theirs: Callable[[Sequence[Path]], dict[str, float]],
    portions: Sequence[Sequence[Path]],
) -> dict[str, Any]:
    """Both on each portion, one right after the other."""
    ours(portions[0][:2])  # what is loaded once
    pairs = []
    for index, portion in enumerate(portions):
        # Whoever goes second finds the files in memory, so they take turns.
        first, second = (ours, theirs) if index % 2 else (theirs, ours)
        one, two = first(portion), second(portion)
        pairs.append((one, two) if index % 2 else (two, one))
    files = sum(len(portion) for portion in portions)
    found: dict[str, Any] = {"files": files, "portions": len(portions)}
    for unit in ("seconds", "cpu"):
        mine, others = ([pair[side][unit] for pair in pairs] for side in (0, 1))
        found[unit] = {
            "ms_per_file": round(1e3 * sum(mine) / files, 2),
            "rival_ms_per_file": round(1e3 * sum(others) / files, 2),
            "ratio": round(statistics.median(b / a for a, b in zip(mine, others, strict=True)), 2),
        }
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photos", type=Path, help="a folder with more photos")
    parser.add_argument("--rivals", required=True, help="python of the rivals' environment")
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--slow-files", type=int, default=60, help="for the plain loop")
    parser.add_argument("--rounds", type=int, default=5, help="portions that take turns")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    photos = find_photos(options.photos)
    with tempfile.TemporaryDirectory(prefix="tagloom-benchmark-") as folder:
        files = write_files(Path(folder), photos, options.files)
        portions = [files[start :: options.rounds] for start in range(options.rounds)]
        slow = [portion[: options.slow_files // options.rounds] for portion in portions]
        result = {
            "machine": {"cpus": os.cpu_count(), "load_average": os.getloadavg()[0]},
            "photos": len(photos),
            "megapixels": round(
                sum(np.prod(Image.open(path).size) for path in files) / len(files) / 1e6, 2
            ),
            "cheap_vs_cleanvision": race(
                scored(CHEAP), rival(options.rivals, "cleanvision"), portions
            ),
            "hash_vs_imagededup": race(
                scored(("format", "duplicates")), rival(options.rivals, "imagededup"), portions
            ),
            "all_vs_plain_loop": race(scored(ALL), timed(plain_loop), slow),
        }
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
