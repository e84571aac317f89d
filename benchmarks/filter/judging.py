"""How long does another profile take over images whose scores are stored?

    python -m benchmarks.filter.judging [--images 10000] [--repeats 5]

A local store with the scores of so many images by every check of the strict profile (some with
boxes, a tenth copies of others, features of forty kinds): reading the scores, judging, and writing
the table of verdicts. Prints one JSON document: medians of seconds, by step and whole, wall and
processor time.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from services.filter.checks import CHECKS, Measured, Score
from services.filter.judge import judge_collection
from services.filter.lite0 import FEATURES
from services.filter.profile import profile
from services.filter.scores import add_scores, load_scores
from services.filter.verdicts import encode_verdicts
from tagloom.artifacts.dataset import Box, Verdict
from tagloom.store import open_store


def random_scores(count: int, names: list[str]) -> dict[str, dict[str, Measured]]:
    """Scores such as photos have: most pass."""
    rng = np.random.default_rng(0)
    features = rng.integers(0, 60, (40, FEATURES))
    hashes = rng.integers(0, 256, (count, 32), np.uint8)
    copies = rng.choice(count, count // 10, replace=False)
    hashes[copies] = hashes[rng.integers(0, count, len(copies))]
    usual = {"resolution": 1500.0, "aspect": 1.4, "sharpness": 0.7, "grayscale": 120.0}
    scores = {}
    for index in range(count):
        of_image = {}
        for name in names:
            value = usual.get(name, 0.0) * rng.uniform(0.4, 1.3)
            boxes: tuple[Box, ...] = ()
            vector = b""
            if name in ("text", "faces") and index % 5 == 0:
                boxes = tuple(Box(left=1, top=2, right=30, bottom=9, score=0.8) for _ in range(3))
                value = 0.02
            if name == "duplicates":
                value, vector = float(rng.integers(10_000, 900_000)), hashes[index].tobytes()
            if name == "off_topic":
                noisy = features[index % 40] + rng.integers(0, 60, FEATURES)
                vector = noisy.astype(np.uint8).tobytes()
            detail = "JPEG" if name == "format" else ""
            value = 1.0 if name == "format" else value
            of_image[name] = Measured(1500, 1100, Score(value, boxes, detail, vector))
        scores[hashlib.sha256(str(index).encode()).hexdigest()] = of_image
    return scores


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    thresholds = profile((), "strict")
    on = [each.check for each in thresholds if each.enabled]
    names = list(dict.fromkeys(CHECKS[name].source for name in on))
    steps: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="tagloom-benchmark-") as folder:
        store = open_store(str(Path(folder) / "store"))
        scores = random_scores(options.images, names)
        add_scores(store, scores)
        sources = {sha256: f"{sha256[:8]}.jpg" for sha256 in scores}
        del scores
        verdicts: list[Verdict] = []
        for _ in range(options.repeats):
            measured, verdicts = {}, []  # what the last repetition leaves is not this one's work
            gc.collect()
            marks = [(time.perf_counter(), time.process_time())]
            measured = load_scores(store, sources, on)
            marks.append((time.perf_counter(), time.process_time()))
            verdicts = judge_collection(sources, measured, thresholds, 512)
            marks.append((time.perf_counter(), time.process_time()))
            encode_verdicts(verdicts)
            marks.append((time.perf_counter(), time.process_time()))
            for step, (a, b) in {"read": (0, 1), "judge": (1, 2), "write": (2, 3)}.items():
                took = (marks[b][0] - marks[a][0], marks[b][1] - marks[a][1])
                steps.setdefault(step, []).append(took)
            whole = (marks[3][0] - marks[0][0], marks[3][1] - marks[0][1])
            steps.setdefault("whole", []).append(whole)
    result = {
        "images": options.images,
        "checks": len(on),
        "kept": sum(verdict.kept for verdict in verdicts),
        "load_average": os.getloadavg()[0],
        "seconds": {k: round(statistics.median(t[0] for t in v), 3) for k, v in steps.items()},
        "cpu": {k: round(statistics.median(t[1] for t in v), 3) for k, v in steps.items()},
    }
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
