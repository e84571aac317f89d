"""A profile by name or by file; mistakes name the file, the line or the key."""

from __future__ import annotations

import pytest

from tagloom.cli.profile import read_profile
from tagloom.errors import InvalidArgument


def test_a_name_is_the_filters_business():
    assert read_profile("strict") == ("strict", [])


def test_a_file_of_bounds(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("extends: strict\nsharpness: 0.5\nfaces: off\ntext: 0\ncollage: 'off'\n")
    name, thresholds = read_profile(str(file))
    assert name == "strict"
    assert [(t.check, t.enabled, t.value) for t in thresholds] == [
        ("sharpness", True, 0.5),
        ("faces", False, 0.0),
        ("text", True, 0.0),
        ("collage", False, 0.0),
    ]


def test_a_file_called_like_a_profile(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "strict").write_text("sharpness: 0.9")
    name, (threshold,) = read_profile("strict")
    assert (name, threshold.check) == ("", "sharpness")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sharpness: very", "'sharpness': 'very' is neither"),
        ("faces: on", "'faces': True is neither"),
        ("- sharpness", "it does not"),
        ("", "it does not"),
        ("a: [1,\nb: 2", "no YAML in line 2"),
        ("extends: 3", "must name a profile"),
        ("0.5: 1", "0.5: 1 is neither"),
    ],
)
def test_mistakes(text, words, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(InvalidArgument, match=r"own\.yaml") as caught:
        read_profile(str(file))
    assert caught.value.reason == "PROFILE_INVALID"
    assert words in caught.value.message


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read(content, tmp_path):
    file = tmp_path / "own.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidArgument, match="cannot be read"):
        read_profile(str(file))
