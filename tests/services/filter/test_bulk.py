"""The collector of cycles stands aside, and comes back."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from services.filter.bulk import without_collector


class Node:
    other: Node


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_nothing_is_searched_inside_and_what_was_made_is_old_afterwards() -> None:
    gc.collect()
    with without_collector():
        made = [[index] for index in range(100_000)]
        inside = {id(each) for each in gc.get_objects(0)}
    old = {id(each) for each in gc.get_objects(2)}
    assert all(id(each) in inside for each in made)
    assert all(id(each) in old for each in made)


def test_cycles_made_inside_are_found_by_the_next_whole_search() -> None:
    with without_collector():
        one, two = Node(), Node()
        one.other, two.other = two, one
        gone = weakref.ref(one)
        del one, two
    assert gone() is not None
    gc.collect()
    assert gone() is None


def test_it_stays_off_where_it_was_off_and_comes_back_after_an_error() -> None:
    gc.disable()
    with without_collector():
        pass
    assert not gc.isenabled()
    gc.enable()
    with pytest.raises(ZeroDivisionError), without_collector(), without_collector():
        _ = 1 / 0
    assert gc.isenabled()
