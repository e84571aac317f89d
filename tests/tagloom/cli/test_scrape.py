"""`tagloom scrape`: what it refuses before any service is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tagloom.cli.app import main


@pytest.mark.parametrize("option", ["--folder", "--zip", "--urls"])
def test_an_empty_path_is_not_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    """As `--folder "$PHOTOS"` is without such a variable."""
    monkeypatch.chdir(tmp_path)
    command = ["--store", "store", "scrape", "--collection", "x", option, ""]
    result = CliRunner().invoke(main, command, env={"TAGLOOM_TARGET": None})
    assert result.exit_code == 2
    assert f"Invalid value for '{option}': it is empty; write a path." in result.output
    assert list(tmp_path.iterdir()) == []
