"""A person's marks in a CSV file: which photos to keep, and which to reject.

    image,mark,reason
    betta/one.jpg,keep,
    two.jpg,reject,text
    1f0c…e2,reject,

The first line names the columns, in any order; others than these are passed over. Spreadsheets may
write semicolons or tabs instead of commas. `image` is the
photo's SHA-256, its source in the collection (a path or an address), or its file name where no
other photo has it. `mark` is keep or reject. `reason` may be left out: it names the check that
should have seen why a photo goes.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from tagloom.cli.files import read_text
from tagloom.errors import InvalidArgument

if TYPE_CHECKING:
    from tagloom.v1 import filter_pb2

__all__ = ["read_marks"]

_MARKS = {"keep": True, "reject": False}
_COLUMNS = ("image", "mark", "reason")
_NO_HEADS = "its first line does not name the columns image and mark"
_DELIMITERS = (",", ";", "\t")
"""of equally frequent ones in the first line, the first"""
_MAX_BYTES = 32 * 2**20


def read_marks(path: Path) -> list[filter_pb2.Mark]:
    """Raises InvalidArgument (MARKS_INVALID) naming file and line."""
    from tagloom.v1 import filter_pb2

    text = read_text(
        path,
        _MAX_BYTES,
        f"The file of marks {path}",
        "give a table of text (CSV, UTF-8) with the columns image and mark",
        "MARKS_INVALID",
    )
    first, _, _ = text.partition("\n")
    if not first.strip():
        raise _invalid(path, 1, "it is empty" if not text.strip() else _NO_HEADS)
    rows = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=max(_DELIMITERS, key=first.count),
        skipinitialspace=True,
        strict=True,
    )
    try:
        heads = [name.strip().lower() for name in next(rows)]
        for column in ("image", "mark"):
            if column not in heads:
                raise _invalid(path, 1, _NO_HEADS)
        for column in _COLUMNS:
            if heads.count(column) > 1:
                raise _invalid(path, 1, f"the column {column!r} is there twice")
        marks = []
        for row in rows:
            cells = {name: cell.strip() for name, cell in zip(heads, row, strict=False)}
            if not any(cells.values()):
                continue
            image, said = cells.get("image", ""), cells.get("mark", "").lower()
            if not image:
                raise _invalid(path, rows.line_num, "the image is missing")
            if said not in _MARKS:
                what = (
                    f"{said[:40]!r} is neither keep nor reject" if said else "the mark is missing"
                )
                raise _invalid(path, rows.line_num, what)
            reason = cells.get("reason", "")
            marks.append(filter_pb2.Mark(image=image, keep=_MARKS[said], reason=reason))
    except csv.Error as error:
        raise _invalid(path, rows.line_num, f"it is no CSV ({error})") from error
    if not marks:
        raise _invalid(path, 1, "it marks no photo")
    return marks


def _invalid(path: Path, line: int, what: str) -> InvalidArgument:
    return InvalidArgument(
        f"{path}, line {line}: {what}; write lines such as `image,mark,reason` and "
        "`one.jpg,reject,text`.",
        reason="MARKS_INVALID",
        file=path,
        line=line,
    )
