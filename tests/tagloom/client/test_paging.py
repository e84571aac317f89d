"""Walking through pages, without a server."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tagloom.client import iterate
from tagloom.v1 import filter_pb2


@given(count=st.integers(0, 30), size=st.integers(1, 7))
def test_every_item_once_and_in_order(count: int, size: int) -> None:
    asked: list[int] = []

    def method(request: filter_pb2.ListDatasetsRequest) -> filter_pb2.ListDatasetsResponse:
        start = int(request.page_token or 0)
        asked.append(request.page_size)
        names = [f"datasets/{index}" for index in range(count)][start : start + size]
        more = start + size < count
        return filter_pb2.ListDatasetsResponse(
            datasets=[filter_pb2.Dataset(name=name) for name in names],
            next_page_token=str(start + size) if more else "",
        )

    request = filter_pb2.ListDatasetsRequest(page_size=9)
    found = [each.name for each in iterate(method, request, lambda page: page.datasets)]
    assert found == [f"datasets/{index}" for index in range(count)]
    assert set(asked) == {9}
    assert request.page_token == ""


def test_pages_are_asked_for_as_they_are_needed() -> None:
    calls = 0

    def method(request: filter_pb2.ListDatasetsRequest) -> filter_pb2.ListDatasetsResponse:
        nonlocal calls
        calls += 1
        return filter_pb2.ListDatasetsResponse(
            datasets=[filter_pb2.Dataset()], next_page_token="more"
        )

    items = iterate(method, filter_pb2.ListDatasetsRequest(), lambda page: page.datasets)
    assert calls == 0
    next(items)
    assert calls == 1


def test_an_empty_page_is_not_the_end() -> None:
    pages = {"": ([], "a"), "a": (["x"], "b"), "b": ([], "")}

    def method(request: filter_pb2.ListDatasetsRequest) -> filter_pb2.ListDatasetsResponse:
        names, token = pages[request.page_token]
        return filter_pb2.ListDatasetsResponse(
            datasets=[filter_pb2.Dataset(name=name) for name in names], next_page_token=token
        )

    found = iterate(method, filter_pb2.ListDatasetsRequest(), lambda page: page.datasets)
    assert [each.name for each in found] == ["x"]
