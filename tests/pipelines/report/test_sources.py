"""Names of sources for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.report.sources import source_of


@pytest.mark.parametrize(
    ("source", "name", "linked"),
    [
        ("photos/cats/7.jpg", "7.jpg", False),
        ("7.jpg", "7.jpg", False),
        ("folder/", "folder/", False),
        ("https://www.instagram.com/p/CODE/", "CODE", True),
        ("https://www.instagram.com/p/CODE/?img_index=3", "CODE, 3", True),
        ("https://example.com/a/b.jpg?size=9&img_index=x", "b.jpg", True),
        ("http://example.com", "example.com", True),
        ("https://[nonsense/a.jpg", "a.jpg", False),
        ("s3://bucket/prefix/a.jpg", "a.jpg", False),
        ("javascript://example.com/x", "x", False),
    ],
)
def test_short_yet_told_apart(source: str, name: str, linked: bool) -> None:
    found = source_of(source)
    assert (found.name, found.whole, bool(found.link)) == (name, source, linked)


@given(st.text(min_size=1))
def test_any_text_has_a_name(source: str) -> None:
    found = source_of(source)
    assert found.name
    assert not found.link or found.link.lower().lstrip().startswith(("http://", "https://"))
