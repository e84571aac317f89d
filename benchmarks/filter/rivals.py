"""cleanvision and imagededup on a list of files, in an environment of their own.

    python benchmarks/filter/rivals.py cleanvision|imagededup[-scores] < files.jsonl

Run by `benchmarks.filter.speed` and `.quality` with the Python that `--rivals` names; it needs
cleanvision, and imagededup (whose package imports torch, torchvision, scikit-learn and PyWavelets).
Every line is a list of files, answered by a line of JSON; time for imports is left out.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import Any

SHARED = ("blurry", "grayscale", "odd_aspect_ratio", "odd_size", "exact_duplicates")
"""cleanvision's issues that the filter asks for as well, near duplicates besides"""


def main() -> None:
    """Reads lists of files' paths, answers each with seconds and results."""
    answer = sys.stdout
    with (
        open(os.devnull, "w") as nothing,
        contextlib.redirect_stdout(nothing),
        contextlib.redirect_stderr(nothing),
    ):
        rival = imagededup if sys.argv[1].startswith("imagededup") else cleanvision
        for line in sys.stdin:
            json.dump(rival(json.loads(line)), answer)
            print(file=answer, flush=True)


def cleanvision(files: list[str]) -> dict[str, Any]:
    """Blur, grey, size, aspect ratio, exact and near duplicates."""
    from cleanvision import Imagelab

    lab = Imagelab(filepaths=files)
    wanted: dict[str, dict[str, Any]] = {name: {} for name in (*SHARED, "near_duplicates")}
    begin, cpu = time.perf_counter(), time.process_time()
    lab.find_issues(wanted, n_jobs=1, verbose=False)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    found: dict[str, Any] = {"seconds": seconds, "cpu": cpu}
    if sys.argv[1].endswith("-scores"):
        issues = lab.issues
        found["issues"] = {
            name: {path: bool(issues.loc[path, f"is_{name}_issue"]) for path in files}
            for name in ("blurry", "grayscale")
        }
        found["near"] = lab.info["near_duplicates"]["sets"]
        found["exact"] = lab.info["exact_duplicates"]["sets"]
    return found


def imagededup(files: list[str]) -> dict[str, Any]:
    """The perceptual hash of each file, and which are within its default distance."""
    from imagededup.methods import PHash

    hasher = PHash(verbose=False)
    begin, cpu = time.perf_counter(), time.process_time()
    hashes = {file: hasher.encode_image(image_file=file) for file in files}
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    found: dict[str, Any] = {"seconds": seconds, "cpu": cpu}
    if sys.argv[1].endswith("-scores"):
        found["near"] = hasher.find_duplicates(encoding_map=hashes, num_dist_workers=0)
    return found


if __name__ == "__main__":
    main()
