"""Small datasets and runs in a real store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from services.trainer.options import RequestedOptions, plan_run
from tagloom.artifacts import layout
from tagloom.artifacts.dataset import Dataset
from tagloom.artifacts.run import Run
from tagloom.store import Store, open_store
from tests.plugins.training_pieces import TINY, write_dataset


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The networks are too small for more, and the machine may be shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def make_dataset() -> Callable[..., Dataset]:
    return write_dataset


@pytest.fixture
def tiny() -> dict[str, Any]:
    """Options of a run that trains in about a second; a copy to change."""
    return dict(TINY)


@pytest.fixture
def make_run(store: Store) -> Callable[..., Run]:
    """Enters a tiny run into the store; its dataset `d` is made if it is not there."""

    def make(run_id: str = "r", *, start: str = "", **options: Any) -> Run:
        if not store.exists(layout.dataset_manifest("d")):
            write_dataset(store)
        requested = RequestedOptions(**{**TINY, **options})
        run = plan_run(store, run_id, "datasets/d", start, requested)
        run.create(store, layout.run_document(run_id), f"runs/{run_id}")
        return run

    return make
