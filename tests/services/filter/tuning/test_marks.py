"""Marks find their photos, or a sentence says why not."""

from __future__ import annotations

import pytest

from services.filter.tuning.marks import MAX_MARKS, Mark, match_marks
from tagloom.errors import FailedPrecondition, InvalidArgument

A, B, C = "a" * 64, "b" * 64, "c" * 64
SOURCES = {A: "cats/one.jpg", B: "dogs/one.jpg", C: "two.jpg"}
NAME = "collections/c"


def match(*marks):
    return match_marks([Mark(*mark) for mark in marks], SOURCES, NAME)


def test_by_hash_path_and_file_name():
    found = match((A, True), ("dogs/one.jpg", False, "text"), ("two.jpg", True), ("gone.jpg", True))
    assert {sha256: mark.keep for sha256, mark in found.marks.items()} == {
        A: True,
        B: False,
        C: True,
    }
    assert found.marks[B].reason == "text"
    assert found.unknown == ("gone.jpg",)


def test_marked_twice_alike_counts_once():
    found = match((A, True), ("cats/one.jpg", True), (B, False, "text"), (B, False, "faces"))
    assert len(found.marks) == 2
    assert found.marks[B].reason == ""  # either would have done


@pytest.mark.parametrize(
    ("marks", "error", "says"),
    [
        ([("one.jpg", True)], InvalidArgument, "2 photos of collections/c are called 'one.jpg'"),
        ([(A, True), ("cats/one.jpg", False)], InvalidArgument, "both keep and reject"),
        ([(A, False, "blurry")], InvalidArgument, "no check 'blurry'.*sharpness"),
        ([(A, True, "text")], InvalidArgument, "kept needs none; leave it empty"),
        (
            [(A, True), (C, True)],
            FailedPrecondition,
            "All 2 marks of .* say keep; mark some .* reject",
        ),
        ([(A, False)], FailedPrecondition, "The only mark of a .* says reject; mark .* keep"),
        (
            [(A, False), ("gone.jpg", True), ("x", True)],
            FailedPrecondition,
            r"says reject \(not there: 'gone\.jpg' and 1 more\); mark some",
        ),
        ([("gone.jpg", True)], FailedPrecondition, r"None of the marked photos \('gone\.jpg'\)"),
        ([], FailedPrecondition, "No photo is marked"),
        ([(A, True)] * (MAX_MARKS + 1), InvalidArgument, "20,001 marks"),
    ],
)
def test_what_is_wrong_is_said(marks, error, says):
    with pytest.raises(error, match=says):
        match(*marks)
