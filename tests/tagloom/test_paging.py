"""The size of a page, as AIP-158 wants it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagloom.errors import InvalidArgument
from tagloom.paging import page_size


@given(st.integers(1, 2**31 - 1))
def test_what_is_asked_for_up_to_the_largest(asked: int) -> None:
    assert page_size(asked) == min(asked, 1000)


def test_zero_is_the_default() -> None:
    assert (page_size(0), page_size(0, 1000, 10_000)) == (100, 1000)


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="page size -1 is negative"):
        page_size(-1)
