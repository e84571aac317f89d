"""All items of a paged list, page by page as they are asked for (AIP-158)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message

__all__ = ["iterate"]


class _Page(Protocol):
    next_page_token: str


RequestT = TypeVar("RequestT", bound=Message)
PageT = TypeVar("PageT", bound=_Page)
ItemT = TypeVar("ItemT")


def iterate(
    method: Callable[[RequestT], PageT],
    request: RequestT,
    items: Callable[[PageT], Iterable[ItemT]],
) -> Iterator[ItemT]:
    """Every item: `iterate(stub.ListDatasets, ListDatasetsRequest(), lambda page: page.datasets)`.

    `request` is left as it is; a `page_size` in it is the size of each page.
    """
    current: Any = type(request)()
    current.CopyFrom(request)
    while True:
        page = method(current)
        yield from items(page)
        if not page.next_page_token:
            return
        current.page_token = page.next_page_token
