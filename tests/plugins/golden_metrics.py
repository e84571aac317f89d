"""Official results of the metrics on given features (tests/golden/README.md)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def golden() -> Mapping[str, Any]:
    """The arrays of metrics.npz, by name."""
    folder = Path(os.environ.get("TAGLOOM_GOLDEN", Path(__file__).parents[1] / "golden"))
    with np.load(folder / "metrics.npz") as file:
        return dict(file)
