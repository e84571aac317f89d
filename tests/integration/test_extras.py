"""Each service works with its own extra alone, whatever else this environment holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import only_extra
import pytest

PROGRAM = Path(only_extra.__file__)
SERVICES = ("scraper", "filter", "trainer", "evaluator", "generator")


@pytest.mark.parametrize("extra", SERVICES)
def test_a_service_needs_its_own_extra_alone(extra: str, tmp_path: Path) -> None:
    root = PROGRAM.parents[2]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), extra],
        env={**os.environ, "TAGLOOM_STORE": str(tmp_path / "store"), "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[-1] == "SERVING"


def test_what_an_extra_does_not_bring_is_hidden() -> None:
    scraper, generator = only_extra.required_by("scraper"), only_extra.required_by("generator")
    assert "instaloader" in scraper
    assert "torch" not in scraper
    assert "torch" in generator
    assert "instaloader" not in generator
    finder = only_extra.NotInstalled(scraper)
    with pytest.raises(ModuleNotFoundError, match="torch"):
        finder.find_spec("torch.nn")
    assert finder.find_spec("instaloader") is None
