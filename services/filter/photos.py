"""The photos of a collection, as it lists them."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from tagloom.artifacts import layout
from tagloom.artifacts.collection import Collection, Item, content_hash
from tagloom.errors import DataLoss, FailedPrecondition
from tagloom.store.interface import ObjectNotFound, Store

__all__ = ["load_collection", "load_items", "sources_of"]


def load_collection(store: Store, collection_id: str) -> Collection:
    """Raises NotFound (RESOURCE_NOT_FOUND)."""
    key = layout.collection_manifest(collection_id)
    return Collection.load(store, key, f"collections/{collection_id}")


def load_items(store: Store, collection: Collection) -> list[Item]:
    """What became of every file or post, in the order of the collection.

    Raises DataLoss (COLLECTION_DAMAGED), FailedPrecondition (COLLECTION_EMPTY).
    """
    key = layout.collection_items(collection.id, collection.items)
    try:
        items = [Item.model_validate_json(line) for line in store.get(key).splitlines()]
        damaged = content_hash(sources_of(items)) != collection.content_sha256
    except (ObjectNotFound, ValidationError):
        damaged = True
    if damaged:
        raise DataLoss(
            f"{key} does not hold the images that its manifest promises; collect the photos again.",
            reason="COLLECTION_DAMAGED",
            key=key,
        )
    if not sources_of(items):
        raise FailedPrecondition(
            f"collections/{collection.id} holds no images; collect some photos first.",
            reason="COLLECTION_EMPTY",
            resource=f"collections/{collection.id}",
        )
    return items


def sources_of(items: Sequence[Item]) -> dict[str, str]:
    """Hash to source of every stored image, each once, in the order of the collection."""
    sources: dict[str, str] = {}
    for item in items:
        if item.state == "stored":
            sources.setdefault(item.sha256, item.source)
    return sources
