"""Collections that exist: read, listed page by page, removed."""

from __future__ import annotations

from collections.abc import Iterator

from services.scraper.ledger import from_line
from tagloom.artifacts import layout
from tagloom.artifacts.collection import Collection, Item
from tagloom.artifacts.dataset import Dataset
from tagloom.errors import FailedPrecondition, NotFound
from tagloom.paging import invalid_token, offset_of, place_of, token_of
from tagloom.store.interface import ObjectNotFound, Store

__all__ = ["delete_collection", "list_collections", "list_items", "read_collection"]

_PAGE_BYTES = 2 * 2**20


def read_collection(store: Store, name: str) -> Collection:
    """The collection called `collections/{id}`.

    Raises InvalidArgument (INVALID_NAME), NotFound (RESOURCE_NOT_FOUND).
    """
    (collection_id,) = layout.parse_name(name, "collections/{}")
    return Collection.load(store, layout.collection_manifest(collection_id), name)


def list_collections(store: Store, size: int, token: str) -> tuple[list[Collection], str]:
    """At most `size` collections by id, after the one that `token` names; the next token or "".

    Raises InvalidArgument (PAGE_TOKEN_INVALID).
    """
    found: list[Collection] = []
    for collection_id in _collection_ids(store, place_of(token, "collections")):
        if len(found) == size:
            return found, token_of("collections", found[-1].id)
        try:
            found.append(read_collection(store, f"collections/{collection_id}"))
        except NotFound:
            continue  # removed since the listing
    return found, ""


def list_items(store: Store, parent: str, size: int, token: str) -> tuple[list[Item], str]:
    """At most `size` items of a collection in the order they were met; the next token or "".

    Fewer where they are long (comments): a page has to fit into a message.

    A token holds an offset into the items, which never change within a revision.

    Raises InvalidArgument (INVALID_NAME, PAGE_TOKEN_INVALID), NotFound (RESOURCE_NOT_FOUND).
    """
    collection = read_collection(store, parent)
    key = layout.collection_items(collection.id, collection.items)
    listed = f"{parent}/items" + (f"@{collection.revision}" if collection.revision > 1 else "")
    total = store.head(key).size
    offset = offset_of(token, listed)
    with store.open(key) as stream:
        if offset:
            if offset >= total:
                raise invalid_token(token)
            stream.seek(offset - 1)
            if stream.read(1) != b"\n":  # not where an item begins
                raise invalid_token(token)
        items: list[Item] = []
        end = offset + _PAGE_BYTES
        while len(items) < size and offset < end and (line := stream.readline()):
            items.append(from_line(line))
            offset += len(line)
    return items, token_of(listed, offset) if offset < total else ""


def delete_collection(store: Store, name: str) -> None:
    """Removes a collection, also one that is not finished; its images stay.

    Raises NotFound (RESOURCE_NOT_FOUND), FailedPrecondition (COLLECTION_IN_USE) while a dataset
    was made from it.
    """
    (collection_id,) = layout.parse_name(name, "collections/{}")
    keys = [info.key for info in store.iterate(f"collections/{collection_id}/")]
    if not keys:
        raise NotFound(
            f"There is no {name}; `tagloom ls collections` lists what there is.",
            reason="RESOURCE_NOT_FOUND",
            resource=name,
        )
    users = sorted(_datasets_from(store, name))
    if users:
        raise FailedPrecondition(
            f"{name} is what {', '.join(users[:5])}{' and others' * (len(users) > 5)} "
            f"{'were' if len(users) > 1 else 'was'} made from; remove that first.",
            reason="COLLECTION_IN_USE",
            resource=name,
            datasets=",".join(users),
        )
    # The manifest first: without it the collection does not exist, whatever is left of it.
    store.delete(layout.collection_manifest(collection_id))
    for key in keys:
        store.delete(key)


def _collection_ids(store: Store, after: str) -> Iterator[str]:
    """Ids of the collections after that id, ascending."""
    suffix = "/manifest.json"
    start: str | None = layout.collection_manifest(after) if after else ""
    while start is not None:
        page = store.list("collections/", after=start)
        for info in page.objects:
            if info.key.endswith(suffix):
                yield info.key.removeprefix("collections/").removesuffix(suffix)
        start = page.next_after


def _datasets_from(store: Store, collection: str) -> Iterator[str]:
    for info in store.iterate("datasets/"):
        if not info.key.endswith("/manifest.json"):
            continue
        try:
            dataset = Dataset.from_bytes(store.get(info.key), info.key)
        except ObjectNotFound:
            continue
        if dataset.collection == collection:
            yield f"datasets/{dataset.id}"
