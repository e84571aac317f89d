"""How fast does the filter look at photos, next to cleanvision, imagededup and a plain loop?

    python -m benchmarks.filter.speed --photos FOLDER --rivals PYTHON --cache FOLDER
        [--files 2400] [--slow-files 200] [--portion 40]

One core, the same JPEGs of 0.5 to 12 megapixels (crops, re-encodings and mosaics of real photos,
`benchmarks.filter.jpegs` and `.photos`; nothing is enlarged), in small portions on which the two
take turns, so that other work on the machine falls on both. The files, 1 GB a thousand, are written
to the cache once. PYTHON is that of an environment with cleanvision and imagededup
(`benchmarks/filter/rivals.py`).

- cheap: bytes to hash, size, aspect ratio, sharpness, grey and perceptual hash, against
  cleanvision's blurry, grayscale, odd size, odd aspect ratio, exact and near duplicates;
- hash: bytes to perceptual hash, against imagededup's PHash;
- all: every check of the default profile, against the loop that one would write: decode in full,
  Crete's blur (scikit-image), the channels' spread, imagededup's kind of hash, the same text
  network and dlib's HOG at full size, one after the other. It is slow: a seeded sample of the files
  is enough, in portions a tenth as large.

Prints one JSON document: medians of seconds and of ratios with their quartiles, processor time too.
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
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from benchmarks.filter.jpegs import described, write_files
from benchmarks.filter.photos import find_photos
from services.filter.checks import CHECKS, SCORING_LONG_SIDE, SCORING_SIDE
from services.filter.checks import text as text_check
from services.filter.decode import decode
from services.filter.profile import profile

CHEAP = ("format", "resolution", "aspect", "sharpness", "grayscale", "duplicates")
ALL = tuple(dict.fromkeys(CHECKS[each.check].source for each in profile(()) if each.enabled))
_SCRIPT = Path(__file__).with_name("rivals.py")


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


@contextmanager
def rival(python: str, name: str) -> Iterator[Callable[[Sequence[Path]], dict[str, float]]]:
    """A rival, in a process of its own that answers list after list; imports are not counted."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    with subprocess.Popen(
        [python, str(_SCRIPT), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**environment, "OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ask, answers = process.stdin, process.stdout

        def run(files: Sequence[Path]) -> dict[str, float]:
            print(json.dumps([str(path) for path in files]), file=ask, flush=True)
            answer = json.loads(answers.readline())
            return {"seconds": answer["seconds"], "cpu": answer["cpu"]}

        try:
            yield run
        finally:
            ask.close()


def race(
    ours: Callable[[Sequence[Path]], dict[str, float]],
    theirs: Callable[[Sequence[Path]], dict[str, float]],
    portions: Sequence[Sequence[Path]],
) -> dict[str, Any]:
    """Both on each portion, one right after the other."""
    for each in (ours, theirs):
        each(portions[0][:2])  # what is loaded once
    pairs, loads = [], []
    for index, portion in enumerate(portions):
        # Whoever goes second finds the files in memory, so they take turns.
        first, second = (ours, theirs) if index % 2 else (theirs, ours)
        one, two = first(portion), second(portion)
        pairs.append((one, two) if index % 2 else (two, one))
        loads.append(os.getloadavg()[0])
    files = sum(len(portion) for portion in portions)
    found: dict[str, Any] = {
        "files": files,
        "portions": len(portions),
        "load_average": {"median": round(statistics.median(loads), 1), "most": max(loads)},
    }
    for unit in ("seconds", "cpu"):
        mine, others = ([pair[side][unit] for pair in pairs] for side in (0, 1))
        ratios = [b / a for a, b in zip(mine, others, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
        found[unit] = {
            "ms_per_file": round(1e3 * sum(mine) / files, 2),
            "rival_ms_per_file": round(1e3 * sum(others) / files, 2),
            "ratio": round(middle, 2),
            "quartiles": [round(low, 2), round(high, 2)],
            "least": round(min(ratios), 2),
        }
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photos", type=Path, help="a folder with more photos")
    parser.add_argument("--rivals", required=True, help="python of the rivals' environment")
    parser.add_argument("--cache", type=Path, required=True, help="where the files are, or go")
    parser.add_argument("--files", type=int, default=2400)
    parser.add_argument("--slow-files", type=int, default=200, help="for the plain loop")
    parser.add_argument("--portion", type=int, default=40, help="files between two turns")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    photos = find_photos(options.photos)
    files = write_files(options.cache, photos, options.files)
    portions = [files[at : at + options.portion] for at in range(0, len(files), options.portion)]
    sample = random.Random(0).sample(files, min(options.slow_files, len(files)))
    few = max(1, options.portion // 10)
    slow = [sample[at : at + few] for at in range(0, len(sample), few)]
    result: dict[str, Any] = {
        "cpus": os.cpu_count(),
        "photos": len(photos),
        "files": described(files),
    }
    with rival(options.rivals, "cleanvision") as theirs:
        result["cheap_vs_cleanvision"] = race(scored(CHEAP), theirs, portions)
    with rival(options.rivals, "imagededup") as theirs:
        result["hash_vs_imagededup"] = race(scored(("format", "duplicates")), theirs, portions)
    result["all_vs_plain_loop"] = race(scored(ALL), timed(plain_loop), slow)
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
