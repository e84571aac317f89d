"""Datasets that exist are removed whole, damaged ones too."""

from __future__ import annotations

import pytest

from services.filter.datasets import delete_dataset, get_dataset
from tagloom.errors import DataLoss, NotFound
from tagloom.store import open_store


def test_what_cannot_be_read_can_be_removed(tmp_path):
    store = open_store(str(tmp_path))
    store.put("datasets/torn/manifest.json", b'{"schema": 1, "id"')
    store.put("datasets/torn/images.zip", b"zip")
    store.put("datasets/torn-2/images.zip", b"of another one")
    with pytest.raises(DataLoss):
        get_dataset(store, "torn")
    delete_dataset(store, "torn")
    assert [info.key for info in store.iterate("datasets/")] == ["datasets/torn-2/images.zip"]
    with pytest.raises(NotFound):
        delete_dataset(store, "torn")
