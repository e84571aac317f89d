"""Resolves requirements.txt and requirements-dev.txt from pyproject.toml (`make lock`).

Hashes are kept, index and download addresses are not: a lock must install from whatever index the
user's own pip settings name. One file serves CPython 3.11 to 3.13 on Linux.

What an image installs is a part of requirements.txt: images/packages/ names which, found by
resolving its extra under the lock's constraints, so there is one version of everything.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {
    # The demo needs the photos of two packages besides all services.
    "requirements.txt": ["all", "demo"],
    "requirements-dev.txt": ["dev"],
}
IMAGES = {
    "runtime": "networks",
    "scraper": "scraper",
    "filter": "filter",
    "trainer": "trainer",
    "evaluator": "evaluator",
    "generator": "generator",
    "pipelines": "pipelines",
}
"""the extra of each file in images/packages"""
# What builds images: uv, and what builds wheels from sources (Tagloom, and packages without a
# wheel).
BUILDER = ("hatchling", "setuptools", "uv", "wheel")


def main() -> None:
    """Runs uv's resolver once a file."""
    for name, extras in LOCKS.items():
        words = [word for extra in extras for word in ("--extra", extra)]
        resolve("pyproject.toml", "--generate-hashes", *words, "--output-file", name)
    for name, extra in IMAGES.items():
        found = resolve("pyproject.toml", "--extra", extra, "--constraints", "requirements.txt")
        # A package may be there twice, for different Pythons.
        names = sorted({line.partition("==")[0] for line in found.splitlines() if "==" in line})
        path = ROOT / "images" / "packages" / f"{name}.txt"
        path.write_text("\n".join(["# make lock", *names, ""]), encoding="utf-8")
    resolve("-", "--generate-hashes", "--output-file", "images/builder.txt", given=BUILDER)


def resolve(source: str, *options: str, given: Sequence[str] = ()) -> str:
    """Resolves pyproject.toml, or, from `-`, the `given` requirements; returns what uv prints."""
    uv = Path(sys.executable).parent / "uv"
    done = subprocess.run(
        [
            *(str(uv), "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
            *("--no-emit-index-url", "--no-emit-find-links", "--no-annotate"),
            *("--custom-compile-command", "make lock", *options, source),
        ],
        cwd=ROOT,
        input="\n".join(given),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


if __name__ == "__main__":
    main()
