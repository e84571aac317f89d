"""Where the golden files lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    """The folder with inputs and outputs of the official implementation."""
    default = Path(__file__).parents[2] / "golden"
    return Path(os.environ.get("TAGLOOM_GOLDEN", default))
