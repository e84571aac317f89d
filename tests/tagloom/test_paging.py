"""Pages as AIP-158 wants them: sizes, and tokens that only the list which gave them takes."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagloom.errors import InvalidArgument
from tagloom.paging import offset_of, page_of, page_size, place_of, token_of
from tagloom.store.keys import is_key

LISTS = st.text(max_size=60)
IDS = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True)


@given(st.integers(1, 2**31 - 1))
def test_what_is_asked_for_up_to_the_largest(asked: int) -> None:
    assert page_size(asked) == min(asked, 1000)


def test_zero_is_the_default() -> None:
    assert (page_size(0), page_size(0, 1000, 10_000)) == (100, 1000)


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="page size -1 is negative"):
        page_size(-1)


@given(st.sets(IDS, max_size=30), LISTS, st.integers(1, 7))
def test_page_after_page_gives_every_id_once_and_ascending(
    ids: set[str], of: str, size: int
) -> None:
    found: list[str] = []
    token = ""
    while True:
        page, token = page_of(ids, of, size, token)
        found += page
        if not token:
            break
        assert len(page) == size
    assert found == sorted(ids)


@given(st.sets(IDS, min_size=2, max_size=20), st.sets(IDS), st.sets(IDS), LISTS)
def test_what_comes_and_goes_between_pages_disturbs_no_other(
    ids: set[str], coming: set[str], going: set[str], of: str
) -> None:
    first, token = page_of(ids, of, 1, "")
    rest, _ = page_of(ids - going | coming, of, 1000, token)
    stayed = (ids - going) - set(first)
    assert [entry for entry in rest if entry in stayed] == sorted(stayed)
    assert rest == sorted(set(rest))


@given(IDS, LISTS, LISTS)
def test_a_token_belongs_to_its_list(place: str, of: str, other: str) -> None:
    token = token_of(of, place)
    assert place_of(token, of) == place
    assert re.fullmatch(r"[A-Za-z0-9_-]+", token)  # fits into an address as it is
    if other != of:
        with pytest.raises(InvalidArgument) as caught:
            place_of(token, other)
        assert (caught.value.reason, caught.value.metadata["field"]) == (
            "PAGE_TOKEN_INVALID",
            "page_token",
        )


@given(st.text(min_size=1) | st.binary(min_size=1).map(lambda b: base64.b64encode(b).decode()))
def test_made_up_tokens_are_refused(token: str) -> None:
    with pytest.raises(InvalidArgument, match="is not one that this list gave"):
        place_of(token, "runs")


@pytest.mark.parametrize("token", ["%%%bogus", "zzz", "999999", "\u0661", "\ud800", "a" * 10_000])
def test_tokens_that_were_once_taken(token: str) -> None:
    for read in (place_of, offset_of):
        with pytest.raises(InvalidArgument):
            read(token, "runs")


@given(IDS, st.data())
def test_a_token_with_a_changed_character_is_refused(place: str, data: st.DataObject) -> None:
    token = token_of("runs", place)
    index = data.draw(st.integers(0, len(token) - 1))
    character = data.draw(st.sampled_from("AQgw_-9z=+/ ").filter(lambda c: c != token[index]))
    changed = token[:index] + character + token[index + 1 :]
    try:
        other = place_of(changed, "runs")
    except InvalidArgument:
        return
    # Another place of the same list, spelt as this list would spell it.
    assert other != place
    assert token_of("runs", other) == changed


@given(st.text(max_size=80) | st.from_regex(r"[a-z0-9._/-]{1,20}", fullmatch=True))
def test_whatever_a_token_says_is_safe_in_a_key(place: str) -> None:
    """Somebody who has read this code can make a token of any text."""
    try:
        taken = place_of(token_of("runs", place), "runs")
    except (InvalidArgument, UnicodeEncodeError):
        return
    assert taken == place
    assert is_key(f"runs/{taken}.json")


@given(st.integers(1, 10**18 - 1), LISTS)
def test_offsets(offset: int, of: str) -> None:
    assert offset_of(token_of(of, offset), of) == offset
    assert offset_of("", of) == 0


@pytest.mark.parametrize("place", ["0", "-1", "007", "1e3", "9" * 40, "cats"])
def test_what_is_no_offset(place: str) -> None:
    with pytest.raises(InvalidArgument):
        offset_of(token_of("runs/cats/ticks", place), "runs/cats/ticks")
