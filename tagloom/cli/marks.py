"""A person's marks in a CSV file: which photos to keep, and which to reject.

    image,mark,reason
    betta/one.jpg,keep,
    two.jpg,reject,text
    1f0c…e2,reject,

The first line names the columns, in any order; others than these are passed over. `image` is the
photo's SHA-256, its source in the collection (a path or an address), or its file name where no
other photo has it. `mark` is keep or reject. `reason` may be left out: it names the check that
should have seen why a photo goes.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from tagloom.errors import InvalidArgument

if TYPE_CHECKING:
    from tagloom.v1 import filter_pb2

__all__ = ["read_marks"]

_MARKS = {"keep": True, "reject": False}
_MAX_BYTES = 32 * 2**20


def read_marks(path: Path) -> list[filter_pb2.Mark]:
    """Raises InvalidArgument (MARKS_INVALID) naming file and line."""
    from tagloom.v1 import filter_pb2

    rows = csv.DictReader(io.StringIO(_text(path), newline=""), skipinitialspace=True)
    try:
        names = {str(name).strip().lower(): name for name in rows.fieldnames or ()}
        missing = [column for column in ("image", "mark") if column not in names]
        if missing:
            raise _invalid(path, 1, f"there is no column {missing[0]!r} in its first line")
        marks = []
        for row in rows:
            cells = {name: (row.get(column) or "").strip() for name, column in names.items()}
            if not any(cells.values()):
                continue
            if not cells["image"]:
                raise _invalid(path, rows.line_num, "the image is missing")
            said = cells["mark"].lower()
            if said not in _MARKS:
                raise _invalid(path, rows.line_num, f"{said[:40]!r} is neither keep nor reject")
            reason = cells.get("reason", "")
            marks.append(filter_pb2.Mark(image=cells["image"], keep=_MARKS[said], reason=reason))
    except csv.Error as error:
        raise _invalid(path, rows.line_num, f"it is no CSV ({error})") from error
    if not marks:
        raise _invalid(path, 1, "it marks no photo")
    return marks


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise _invalid(path, 1, f"it is larger than {_MAX_BYTES // 2**20} MiB")
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise InvalidArgument(
            f"The marks in {path} cannot be read ({reason}); give a CSV file with the columns "
            "image and mark.",
            reason="MARKS_INVALID",
            file=path,
        ) from error


def _invalid(path: Path, line: int, what: str) -> InvalidArgument:
    return InvalidArgument(
        f"{path}, line {line}: {what}; write lines such as `image,mark,reason` and "
        "`one.jpg,reject,text`.",
        reason="MARKS_INVALID",
        file=path,
        line=line,
    )
