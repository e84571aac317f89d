"""A profile by name or by file; mistakes name the file, the line or the key."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagloom.cli.profile import read_profile
from tagloom.errors import InvalidArgument


def test_a_name_is_the_filters_business():
    assert read_profile("strict") == ("strict", [])


def test_a_file_of_bounds(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(
        "extends: strict\nsharpness: 0.5\nfaces: off\ntext: 0\ncollage: 'off'\naspect: 3e0\n"
    )
    name, thresholds = read_profile(str(file))
    assert name == "strict"
    assert [(t.check, t.enabled, t.value) for t in thresholds] == [
        ("sharpness", True, 0.5),
        ("faces", False, 0.0),
        ("text", True, 0.0),
        ("collage", False, 0.0),
        ("aspect", True, 3.0),
    ]


def test_a_file_called_like_a_profile(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "strict").write_text("sharpness: 0.9")
    name, (threshold,) = read_profile("strict")
    assert (name, threshold.check) == ("", "sharpness")


LAUGHS = "\n".join(
    [
        "a: &a [x, x]",
        *(f"{y}: &{y} [*{x}, *{x}]" for x, y in zip("abcdefgh", "bcdefghi", strict=True)),
    ]
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sharpness: very", "line 1: 'very' is no bound of 'sharpness'"),
        ("text: 0.1\nfaces: on", "line 2: 'on' is no bound of 'faces'"),
        ("text: '0.1'", "'0.1' is no bound"),
        ("text:", "what stands there is no bound of 'text'"),
        ("text: [0.1]", "what stands there is no bound of 'text'"),
        ("text: .nan", "'.nan' is no bound"),
        ("text: 0,1", "'0,1' is no bound"),
        ("text: 2020-01-01", "no bound"),
        ("text: !!python/object/apply:os.abort []", "no bound"),
        ("!!python/object/apply:os.abort []", "it holds a list"),
        ("text: 0.1\nfaces: off\ntext: 0.2", "line 3: 'text' is there twice"),
        ("extend: strict", "'extend' is no check: did you mean `extends`?"),
        ("extends: 3", "must name a profile"),
        ("extends: [strict]", "must name a profile"),
        ("- sharpness", "it holds a list"),
        ("sharpness", "it holds a single value"),
        ("", "it is empty"),
        ("# nothing\n", "it is empty"),
        ("a: [1,\nb: 2", "line 2: it is no YAML"),
        ("--- {}\n--- {}", "it is no YAML"),
        ("a: " + "[" * 100_000, "it is no YAML"),
        ("0.5: 1", "'0.5' is no check"),
        ("? [text]\n: 1", "'' is no check"),
        ("x: &x {text: 1}\n<<: *x", "no bound of 'x'"),
        ("text: *x", "it is no YAML"),
        (f"{LAUGHS}\ntext: *i", "no bound of 'a'"),
        ("text: 0.1\0", "it is no YAML"),
    ],
)
def test_mistakes(text, words, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(InvalidArgument, match=r"own\.yaml") as caught:
        read_profile(str(file))
    assert caught.value.reason == "PROFILE_INVALID"
    assert words in caught.value.message
    assert len(caught.value.message) < 300 + len(str(file))


def test_a_number_beyond_all_bounds_is_left_to_the_filter(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(f"text: {'9' * 400}")
    _, (threshold,) = read_profile(str(file))
    assert threshold.value == float("inf")  # which it refuses


@given(text=st.text())
def test_any_text_gives_a_profile_or_a_sentence(text, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(text, "utf-8", errors="replace")
    with contextlib.suppress(InvalidArgument):  # and nothing else
        read_profile(str(file))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        (b"\xff\xfe\x00", "no UTF-8 text"),
        (b"#" * 300_000, "larger than 256 KiB"),
    ],
)
def test_a_file_that_cannot_be_read(content, why, tmp_path):
    file = tmp_path / "own.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidArgument, match=rf"cannot be read \(.*{why}"):
        read_profile(str(file))


@pytest.mark.parametrize("path", ["/dev/zero", "..", "a\0b"])
def test_what_is_no_file(path):
    with pytest.raises(InvalidArgument, match="cannot be read"):
        read_profile(path)


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_is_not_the_default(name):
    with pytest.raises(InvalidArgument, match="is empty"):
        read_profile(name)
