"""The stores that must all behave the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagloom.store import Store, open_store
from tagloom.store.fenced import FencedStore
from tagloom.store.lease import acquire

KINDS = ["local", pytest.param("s3", marks=pytest.mark.minio)]


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store of each kind."""
    if request.param == "s3":
        return str(request.getfixturevalue("s3_url"))
    return str(tmp_path / "a store")


@pytest.fixture(params=[*KINDS, "fenced local"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind; the fenced one holds its lease, and nothing else."""
    fenced, _, kind = str(request.param).rpartition(" ")
    url = request.getfixturevalue("s3_url") if kind == "s3" else str(tmp_path / "a store")
    opened = open_store(url)
    if fenced:
        lease = acquire(opened, "leases/test", "the test", 600)
        return FencedStore(opened, lease.key, lease.fence)
    return opened
