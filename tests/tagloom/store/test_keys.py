"""The rule for keys, and that the layout stays inside it."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagloom.artifacts import layout
from tagloom.rpc import records
from tagloom.store import InvalidKey
from tagloom.store.keys import MAX_KEY_BYTES, check_key, is_key, is_segment


def test_parts() -> None:
    assert check_key("collections/cats/items.jsonl") == ("collections", "cats", "items.jsonl")


def test_prefix_counts() -> None:
    key = "/".join(["x" * 204] * 5)
    assert len(key) == MAX_KEY_BYTES
    check_key(key)
    with pytest.raises(InvalidKey, match="longer than 1023 bytes"):
        check_key(key, prefix_bytes=1)


def test_message_says_what_and_what_to_do() -> None:
    with pytest.raises(InvalidKey) as caught:
        check_key("a/../b")
    assert caught.value.message == (
        "The key 'a/../b' has a part that starts with a dot; use a relative path such as "
        "'collections/cats/items.jsonl'."
    )


def test_message_of_a_huge_key_is_short() -> None:
    with pytest.raises(InvalidKey) as caught:
        check_key("y" * 100_000)
    assert len(caught.value.message) < 300


@given(st.text(max_size=30))
def test_a_key_is_segments_between_slashes(text: str) -> None:
    assert is_key(text) == (text != "" and all(map(is_segment, text.split("/"))))


@given(st.text(max_size=30).filter(is_key))
def test_a_key_stays_inside_and_can_be_sent(key: str) -> None:
    assert ".." not in key.split("/")
    assert not key.startswith("/")
    key.encode()


def layout_keys() -> list[str]:
    """A key from every function of the layout, and from the server kit's own."""
    values = {"sha256": "ab" * 32, "version": "2", "kimg": 1.5, "snapshot": "000001.500"}
    functions = [
        function
        for name, function in inspect.getmembers(layout, inspect.isfunction)
        if not name.startswith(("_", "check_", "parse_")) and name != "snapshot_id"
    ]
    return [
        function(
            *(
                values.get(name, 1 if parameter.annotation in ("int", int) else "cats")
                for name, parameter in inspect.signature(function).parameters.items()
            )
        )
        for function in (*functions, records.record_key, records.lease_key, records.request_key)
    ]


def test_layout_has_valid_keys_and_none_is_a_folder_of_another() -> None:
    keys = layout_keys()
    assert len(keys) > 20
    objects = [key for key in keys if not key.endswith("/")]
    folders = {key.rsplit("/", depth)[0] for key in keys for depth in range(1, key.count("/") + 1)}
    assert all(map(is_key, objects))
    assert folders.isdisjoint(objects)
