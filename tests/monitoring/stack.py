"""`tagloom up` with a Prometheus beside it, as docs/monitoring.md has them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from minio_server import MinioServer

__all__ = ["configuration", "free_port", "stack"]

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def configuration(metrics_port: int, minio_port: int) -> dict[str, Any]:
    """The one that docs/monitoring.md gives, with MinIO, for other ports, and every second."""
    path = ROOT / "examples" / "monitoring" / "prometheus.yml"
    values: dict[str, Any] = yaml.safe_load(path.read_text())
    values["global"] = {
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "evaluation_interval": "1s",
    }
    values["rule_files"] = [str(path.parent / pattern) for pattern in values["rule_files"]]
    (ours,) = values["scrape_configs"]
    ours["static_configs"][0]["targets"] = [f"127.0.0.1:{metrics_port}"]
    commented = path.read_text().partition("# - job_name: tagloom-minio")[2]
    text = "- job_name: tagloom-minio" + commented.replace("\n# ", "\n")
    (theirs,) = yaml.safe_load(text)
    del theirs["scrape_interval"]
    theirs["static_configs"][0]["targets"] = [f"127.0.0.1:{minio_port}"]
    values["scrape_configs"].append(theirs)
    return values


@contextlib.contextmanager
def stack(
    folder: Path,
    minio: MinioServer,
    metrics_port: int,
    *services: str,
    settings: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """`tagloom up` in a bucket of its own, with all services or some; its address."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TAGLOOM_")}
    log = folder / "stack.log"
    environment = {
        **clean,
        **minio.environment,
        "OMP_NUM_THREADS": "1",
        "TAGLOOM_TORCH_THREADS": "1",
        **(settings or {}),
    }
    command = [
        *(sys.executable, "-m", "tagloom.cli", "up"),
        *("--store", f"s3://watched/{uuid.uuid4().hex}", "--address", "127.0.0.1:0"),
        *("--metrics-address", f"127.0.0.1:{metrics_port}"),
        *(word for service in services for word in ("--service", service)),
    ]
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, env=environment, stderr=stderr)
    try:
        deadline = time.monotonic() + 180
        while not (found := re.search(r"serving .* at (127\.0\.0\.1:\d+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield found[1]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()[-3000:]
