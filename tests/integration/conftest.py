"""The real command line in a process of its own, and folders of real photos."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Its answer to --json."""
        return json.loads(self.out)


Tagloom = Callable[..., Answer]

THREADS = {"OMP_NUM_THREADS": "1", "TAGLOOM_TORCH_THREADS": "1"}
"""for networks this small, and tests beside others, two threads wait more than they work"""


def run_tagloom(
    folder: Path, *arguments: str, timeout_s: float = 240, **environment: str
) -> Answer:
    """Runs `tagloom` in `folder`, on the store `store` below it."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TAGLOOM_")}
    done = subprocess.run(
        [sys.executable, "-m", "tagloom.cli", "--store", "store", *arguments],
        cwd=folder,
        env={**clean, **THREADS, **environment},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def tagloom(tmp_path: Path) -> Tagloom:
    """The command line in an empty folder."""
    return lambda *arguments, **options: run_tagloom(tmp_path, *arguments, **options)


def copy_photos(folder: Path, *names: str) -> None:
    """Copies photos of scikit-image's wheel."""
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy2(Path(spec.origin).parent / "data" / name, folder / name)
