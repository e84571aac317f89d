"""The real command line in a process of its own, real servers, and folders of real photos."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

THREADS = {"OMP_NUM_THREADS": "1", "TAGLOOM_TORCH_THREADS": "1"}
"""for networks this small, and tests beside others, two threads wait more than they work"""


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


@dataclass(frozen=True)
class Place:
    """A folder to run `tagloom` in, on the store `store` below it."""

    folder: Path
    target: str = ""
    """empty: each command starts the services it needs"""

    def tagloom(self, *arguments: str) -> Answer:
        """Runs a command to its end."""
        where = ["--target", self.target] if self.target else []
        done = subprocess.run(
            [sys.executable, "-m", "tagloom.cli", "--store", "store", *where, *arguments],
            cwd=self.folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def served(self, *services: str) -> Iterator[Place]:
        """The same folder with `tagloom up` running; all services, or those named."""
        only = [word for service in services for word in ("--service", service)]
        addresses = ["--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"]
        process = subprocess.Popen(
            [sys.executable, "-m", "tagloom.cli", "up", "--store", "store", *addresses, *only],
            cwd=self.folder,
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        try:
            log = ""
            for line in process.stderr:
                log += line
                if found := re.search(r"serving .* at (127\.0\.0\.1:\d+)", line):
                    yield Place(self.folder, found[1])
                    break
            else:
                raise AssertionError(f"the server ended: {log}")
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
        assert process.returncode == 0


def environment() -> dict[str, str]:
    """This process's, without anything that would lead commands elsewhere."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TAGLOOM_")}
    return {**clean, **THREADS}


def copy_photos(folder: Path, *names: str) -> None:
    """Copies photos of scikit-image's wheel."""
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy2(Path(spec.origin).parent / "data" / name, folder / name)
