"""Resolves requirements.txt and requirements-dev.txt from pyproject.toml (`make lock`).

Hashes are kept, index and download addresses are not: a lock must install from whatever index the
user's own pip settings name. One file serves CPython 3.11 to 3.13 on Linux.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {
    # The demo needs the photos of two packages besides all services.
    "requirements.txt": ["--extra", "all", "--extra", "demo"],
    "requirements-dev.txt": ["--extra", "dev"],
}


def main() -> None:
    """Runs uv's resolver once a file."""
    uv = Path(sys.executable).parent / "uv"
    for name, extras in LOCKS.items():
        subprocess.run(
            [
                *(str(uv), "pip", "compile", "--quiet", "--universal", "--generate-hashes"),
                *("--python-version", "3.11", "--no-emit-index-url", "--no-emit-find-links"),
                *("--no-annotate", "--custom-compile-command", "make lock"),
                *extras,
                *("--output-file", name, "pyproject.toml"),
            ],
            cwd=ROOT,
            check=True,
        )


if __name__ == "__main__":
    main()
