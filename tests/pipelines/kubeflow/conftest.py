"""A Kubeflow that runs what it is given as processes, and the command that submits to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kubeflow_processes import ProcessLauncher
from kubeflow_server import KubeflowServer

FILE = """\
experiment: cats
collect: {folder: /nowhere}
filter: {resolution: 256, output_size: 16}
train: {kimg: 2}
"""


@dataclass(frozen=True)
class Answer:
    """What the command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Its answer to --json."""
        return json.loads(self.out)


def command(*arguments: str) -> list[str]:
    """`tagloom` in a process of its own."""
    return [sys.executable, "-m", "tagloom.cli", *arguments]


def environment(**settings: str) -> dict[str, str]:
    """This process's, without what would lead the command elsewhere."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TAGLOOM_")}
    return {**clean, **settings}


def tagloom(*arguments: str, cwd: Path, **settings: str) -> Answer:
    """Runs a command to its end."""
    done = subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(HOME=str(cwd), **settings),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An experiment of which nothing will be found."""
    path = tmp_path / "cats.yaml"
    path.write_text(FILE)
    return path


@pytest.fixture
def launcher(tmp_path: Path) -> ProcessLauncher:
    """A namespace with what the pipeline's steps name."""
    return ProcessLauncher(
        tmp_path / "cluster",
        secrets={
            "tagloom-token": {"token": "let-me-in"},
            "tagloom-store": {"MINIO_ACCESS_KEY": "a", "MINIO_SECRET_KEY": "b"},
        },
        config_maps={
            "tagloom-store": {
                "TAGLOOM_STORE": str(tmp_path / "store"),
                "MINIO_ENDPOINT": "http://127.0.0.1:1",
            }
        },
    )


@pytest.fixture
def kubeflow(launcher: ProcessLauncher) -> Iterator[Callable[..., KubeflowServer]]:
    """Starts a server with the given settings."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(KubeflowServer(launcher, **settings))
