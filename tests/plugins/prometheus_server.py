"""A real Prometheus and its promtool, for tests marked `prometheus`; without them they are skipped.

Skipping is loud: a red line ends the run, and where CI is set the run fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from minio_server import die_with_parent

__all__ = ["PrometheusServer", "running_prometheus", "run_promtool"]

_SKIPPED = pytest.StashKey[int]()
_WHY = "there is no Prometheus to test with; on Debian: apt install prometheus"


def run_promtool(*arguments: str, cwd: Path, stdin: str = "") -> tuple[int, str]:
    """Exit code and output of promtool."""
    done = subprocess.run(
        ["promtool", *arguments],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


class PrometheusServer:
    """A server on loopback, asked through its HTTP API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **parameters: str | list[str]) -> Any:
        """The `data` of an answer of /api/v1; raises AssertionError with its error."""
        query = urllib.parse.urlencode(parameters, doseq=True)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The samples that an expression has now."""
        found: list[dict[str, Any]] = self.ask("query", query=expr)["result"]
        return found


@contextlib.contextmanager
def running_prometheus(config: Path, folder: Path) -> Iterator[PrometheusServer]:
    """Prometheus with this configuration, its data in `folder`, from ready to ended."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{url}/-/ready", timeout=2).close()
                break
            assert process.poll() is None, (folder / "prometheus.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "Prometheus does not become ready"
            time.sleep(0.1)
        yield PrometheusServer(url)
    finally:
        process.terminate()
        process.wait(30)


def _is_there() -> bool:
    return bool(shutil.which("prometheus") and shutil.which("promtool"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("prometheus")]
    if marked and not _is_there():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=_WHY))
        config.stash[_SKIPPED] = len(marked)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    passed = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    if session.config.stash.get(_SKIPPED, 0) and os.environ.get("CI") and passed:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    count = config.stash.get(_SKIPPED, 0)
    if count:
        verdict = " CI is set: the run fails." if os.environ.get("CI") else ""
        terminalreporter.write_line(f"{count} tests NOT RUN: {_WHY}.{verdict}", red=True, bold=True)
