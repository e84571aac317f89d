"""The stack inside the calling process, with the services that are really installed."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest

from tagloom.client import in_process
from tagloom.client.in_process import ENTRY_POINT
from tagloom.errors import FailedPrecondition, NotFound
from tagloom.rpc.settings import Settings
from tagloom.v1 import scraper_pb2


def test_starts_what_is_installed_and_stops_it(tmp_path: Path) -> None:
    settings = Settings(store=str(tmp_path), address="192.0.2.1:1", token="of no concern")
    with in_process(settings, only=["scraper"]) as clients:
        assert clients.target.startswith("127.0.0.1:")
        assert not clients.scraper.ListCollections(scraper_pb2.ListCollectionsRequest()).collections


def test_a_service_that_is_not_installed_is_one_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(NotFound, match=r"tagloom\[weaver\]"),
        in_process(Settings(store=str(tmp_path)), only=["weaver"]),
    ):
        pass


def test_a_client_without_the_services_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.metadata.entry_points

    def without(**wanted: Any) -> Any:
        return [] if wanted == {"group": ENTRY_POINT} else real(**wanted)

    monkeypatch.setattr(importlib.metadata, "entry_points", without)
    with (
        pytest.raises(FailedPrecondition, match=r"tagloom\[all\]"),
        in_process(Settings(store=str(tmp_path))),
    ):
        pass
