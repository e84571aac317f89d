"""The page in a real browser."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.report.gather import Materials
from pipelines.report.render import render

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.browser
def test_the_page_runs_in_a_browser(materials: Callable[..., Materials], tmp_path: Path) -> None:
    if CHROMIUM is None and os.environ.get("CI"):
        pytest.fail("CI has no Chromium: .ci/run installs it")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine: apt install chromium")
    path = tmp_path / "report.html"
    path.write_text(render(materials(), "experiment: cats"))
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    flags += "--disable-background-networking --disable-component-update --enable-logging=stderr"
    done = subprocess.run(
        [
            str(CHROMIUM),
            *flags.split(),
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    # The script ran: exactly one frame of the walk is marked as shown.
    assert len(re.findall(r'<img[^>]* class="[^"]*\bon\b', done.stdout)) == 1
    assert "CONSOLE" not in done.stderr
    assert "Refused to" not in done.stderr
