"""Names and keys: what is accepted, and that nothing else is."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagloom.artifacts import layout
from tagloom.errors import InvalidArgument

IDS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)


@given(IDS, st.floats(0, 999_999))
def test_a_snapshot_name_gives_back_its_ids(run_id: str, kimg: float) -> None:
    snapshot = layout.snapshot_id(kimg)
    name = f"runs/{run_id}/snapshots/{snapshot}"
    found = layout.parse_name(name, "networks/{}", "runs/{}/snapshots/{}")
    assert found == (run_id, snapshot)


@given(st.lists(st.floats(0, 999_999), min_size=2, max_size=10))
def test_snapshot_ids_sort_by_age(kimgs: list[float]) -> None:
    rounded = sorted(round(kimg, 3) for kimg in kimgs)
    ids = [layout.snapshot_id(kimg) for kimg in rounded]
    assert ids == sorted(ids)


@given(st.text(alphabet=string.printable))
def test_an_id_never_leaves_its_folder(text: str) -> None:
    try:
        accepted = layout.check_id(text, "collection_id")
    except InvalidArgument:
        return
    assert not {"/", ".", "\\", "\n"} & set(accepted)


@pytest.mark.parametrize(
    "name",
    ["", "runs", "runs/", "runs/../x", "networks/a/b", "runs/a/snapshots/5", "Runs/a", "runs/A"],
)
def test_other_names_are_refused_with_the_pattern(name: str) -> None:
    with pytest.raises(InvalidArgument, match=r"write networks/ID or runs/ID/snapshots/ID"):
        layout.parse_name(name, "networks/{}", "runs/{}/snapshots/{}")


@pytest.mark.parametrize("value", ["", "abc", "A" * 64, "../" + "0" * 61])
def test_an_image_key_needs_a_sha256(value: str) -> None:
    with pytest.raises(InvalidArgument):
        layout.image(value)
