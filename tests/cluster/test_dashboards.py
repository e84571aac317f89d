"""The dashboards against Grafana's schemas, by the strict reader of Grafana's SDK for Go.

Here, and not beside the other tests of monitoring, because Go is needed, as for the cluster.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools.monitoring.__main__ import COMPONENT, DASHBOARDS

BOARDS = [COMPONENT / "dashboards" / f"{name}.json" for name in DASHBOARDS]


@pytest.fixture(scope="module")
def reader(programs: Path) -> Path:
    """The program that reads them; its source is tests/cluster/dashboards."""
    return programs / "read-dashboards"


def read(reader: Path, *boards: Path) -> tuple[int, str]:
    done = subprocess.run([reader, *boards], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_grafana_knows_every_field_of_every_dashboard(reader: Path) -> None:
    assert read(reader, *BOARDS) == (0, "")


def _misspelt(board: dict[str, Any]) -> None:
    board["panels"][0]["titel"] = "x"


def _wrong_type(board: dict[str, Any]) -> None:
    board["panels"][0]["gridPos"]["w"] = "wide"


def _unknown_query(board: dict[str, Any]) -> None:
    panel = next(panel for panel in board["panels"] if panel.get("targets"))
    panel["targets"][0]["expression"] = "up"


@pytest.mark.parametrize("spoil", [_misspelt, _wrong_type, _unknown_query])
def test_what_grafana_does_not_know_is_noticed(
    reader: Path, tmp_path: Path, spoil: Callable[[dict[str, Any]], None]
) -> None:
    board = json.loads(BOARDS[1].read_text())
    spoil(board)
    path = tmp_path / "board.json"
    path.write_text(json.dumps(board))
    code, output = read(reader, path)
    assert code == 1
    assert str(path) in output
