"""Datasets that exist: read, listed, removed."""

from __future__ import annotations

import contextlib

from tagloom.artifacts import layout
from tagloom.artifacts.dataset import Dataset
from tagloom.errors import DataLoss, NotFound
from tagloom.paging import page_of
from tagloom.store.interface import Store

__all__ = ["delete_dataset", "get_dataset", "list_datasets"]

_PREFIX = "datasets/"


def get_dataset(store: Store, dataset_id: str) -> Dataset:
    """Raises NotFound (RESOURCE_NOT_FOUND)."""
    return Dataset.load(store, layout.dataset_manifest(dataset_id), f"datasets/{dataset_id}")


def list_datasets(store: Store, page_size: int, token: str) -> tuple[list[Dataset], str]:
    """Up to `page_size` datasets by id, and the token of the next page ("" on the last one).

    Raises InvalidArgument (PAGE_TOKEN_INVALID).
    """
    # Keys do not sort as ids do ("a-b/" comes before "a/"), so all of them are listed.
    ids = (
        dataset_id
        for info in store.iterate(_PREFIX)
        for dataset_id, _, rest in [info.key.removeprefix(_PREFIX).partition("/")]
        if rest == "manifest.json"
    )
    page, next_token = page_of(ids, "datasets", page_size, token)
    found = []
    for dataset_id in page:
        try:
            found.append(get_dataset(store, dataset_id))
        except NotFound:
            continue  # removed since the listing
    return found, next_token


def delete_dataset(store: Store, dataset_id: str) -> None:
    """Removes it, manifest first: from then on it does not exist, whatever is still there.

    One whose manifest cannot be read can be removed. Raises NotFound (RESOURCE_NOT_FOUND).
    """
    with contextlib.suppress(DataLoss):
        get_dataset(store, dataset_id)
    store.delete(layout.dataset_manifest(dataset_id))
    for info in list(store.iterate(f"{_PREFIX}{dataset_id}/")):
        store.delete(info.key)
