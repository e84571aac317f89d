"""Errors keep their sentence, reason and values when they cross a process border."""

from __future__ import annotations

import pickle

import pytest

from tagloom import errors


@pytest.mark.parametrize(
    "kind", [getattr(errors, name) for name in errors.__all__], ids=errors.__all__
)
def test_an_error_survives_pickling(kind: type[errors.TagloomError]) -> None:
    error = kind("No room is left; delete something.", reason="STORE_FULL", free=0, key="a/b")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == str(error)
    assert (copy.reason, copy.metadata) == ("STORE_FULL", {"free": "0", "key": "a/b"})


@pytest.mark.parametrize("reason", ["", "A", "lower", "WITH SPACE", "X" * 64])
def test_a_reason_is_upper_snake_case(reason: str) -> None:
    with pytest.raises(ValueError, match="UPPER_SNAKE_CASE"):
        errors.NotFound("x", reason=reason)
