"""Marks in a CSV file, as people and spreadsheets write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagloom.cli.marks import read_marks
from tagloom.errors import InvalidArgument


def read(folder: Path, text: str | bytes) -> list[tuple[str, bool, str]]:
    path = folder / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [(mark.image, mark.keep, mark.reason) for mark in read_marks(path)]


@pytest.mark.parametrize(
    "text",
    [
        "image,mark,reason\na.jpg,keep,\nb/c.jpg,reject,text\n",
        "image,mark,reason\r\na.jpg,keep\r\n\r\nb/c.jpg,Reject,text\r\n",
        "﻿mark,note,Image,reason\nkeep,lovely,a.jpg,\nREJECT,,b/c.jpg,text",
        'image, mark, reason\n"a.jpg", keep,\n"b/c.jpg", reject, text\n',
        "\ufeffimage;mark;reason\r\na.jpg;keep;\r\nb/c.jpg;reject;text\r\n",
        "image\tmark\treason\na.jpg\tkeep\t\nb/c.jpg\treject\ttext\n",
        "image,mark,reason\na.jpg,keep,,,\nb/c.jpg,reject,text,,more",
    ],
    ids=[
        "plain",
        "windows",
        "byte order mark, other columns",
        "spaces and quotes",
        "semicolons",
        "tabs",
        "longer lines",
    ],
)
def test_what_people_write(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == [("a.jpg", True, ""), ("b/c.jpg", False, "text")]


def test_the_reason_may_be_left_out(tmp_path: Path) -> None:
    assert read(tmp_path, "image,mark\na.jpg,keep\n") == [("a.jpg", True, "")]
    assert read(tmp_path, 'image,mark\n"a,b ""c"".jpg",keep\n')[0][0] == 'a,b "c".jpg'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: it is empty"),
        ("\n \n", "line 1: it is empty"),
        ("\nimage,mark\na.jpg,keep\n", "line 1: its first line does not name the columns"),
        ("a.jpg,keep\n", "line 1: its first line does not name the columns image and mark"),
        ("image,reason\na.jpg,\n", "line 1: its first line does not name the columns"),
        ("image,mark,Mark\na.jpg,keep,reject\n", "line 1: the column 'mark' is there twice"),
        ('image,mark\n"a.jpg,keep\nb.jpg,reject\n', "it is no CSV .unexpected end of data"),
        ('image,mark\n"a.jpg"x,keep\n', "line 2: it is no CSV"),
        ("image,mark\na.jpg,1\n", "line 2: '1' is neither keep nor reject"),
        ("image,mark\n" + "x" * 200_000 + ",keep\n", "it is no CSV .field larger"),
        ("image,mark\n" + "a.jpg,keep\n" * 4_000_000, "larger than 32,768 KiB"),
        ("image,mark\n", "marks no photo"),
        ("image,mark\na.jpg,keep\nb.jpg,maybe\n", "line 3: 'maybe' is neither keep nor reject"),
        ("image,mark\n,keep\n", "line 2: the image is missing"),
        ("image,mark\na.jpg\n", "line 2: the mark is missing"),
        (b"image,mark\n\xff\xfe,keep\n", "no UTF-8 text"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says) as caught:
        read(tmp_path, text)
    assert caught.value.reason == "MARKS_INVALID"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"none\.csv cannot be read \(No such file"):
        read_marks(tmp_path / "none.csv")
