"""Answers: protobuf messages as plain JSON, and tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unicodedata import category

from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.message import Message

__all__ = ["count", "facts", "plain", "printable", "table", "when"]


def plain(message: Message) -> dict[str, Any]:
    """A message as a JSON-like dictionary: proto field names, every field of the type present.

    Unlike protobuf's own mapping integers stay numbers (all of ours are far below 2^53). Enum
    values lose their prefix (`STATE_STORED` is `stored`), times are RFC 3339 in UTC, durations
    are seconds; unset members of a oneof and unset optional fields are left out.
    """
    result: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        value = getattr(message, field.name)
        if field.is_repeated:
            result[field.name] = [_value(field, item) for item in value]
        else:
            result[field.name] = _value(field, value)
    return result


def _value(field: Any, value: Any) -> Any:
    if isinstance(value, timestamp_pb2.Timestamp):
        return value.ToJsonString()
    if isinstance(value, duration_pb2.Duration):
        return value.ToMilliseconds() / 1000
    if isinstance(value, Message):
        return plain(value)
    if isinstance(value, bytes):
        return value.hex()
    if field.enum_type is not None:
        return _enum_word(field.enum_type, value)
    return value


def _enum_word(kind: Any, value: int) -> str:
    """`STATE_STORED` of the enum `State` as `stored`, `CONFIG_STYLEGAN3_T` as `stylegan3-t`."""
    known = kind.values_by_number.get(value)
    if known is None:
        return str(value)
    prefix = "".join(f"_{c}" if c.isupper() else c.upper() for c in kind.name)
    word: str = known.name.removeprefix(f"{prefix.lstrip('_')}_").lower().replace("_", "-")
    return word


def facts(values: dict[str, Any], indent: str = "") -> str:
    """A dictionary as aligned lines; nested ones are indented, empty values left out."""
    shown = {key: value for key, value in values.items() if value not in ("", [], {}, None)}
    width = max((len(key) for key, value in shown.items() if not _nested(value)), default=0)
    lines = []
    for key, value in shown.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", facts(value, indent + "  ")]
        elif _nested(value):
            lines.append(f"{indent}{key}:")
            lines += [f"{indent}- " + facts(item, indent + "  ").lstrip() for item in value]
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else _text(value)
            lines.append(f"{indent}{key:<{width}}  {text}")
    return "\n".join(lines)


def _nested(value: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and isinstance(value[0], dict)
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Aligned columns; those numbered in `right` are right-aligned."""
    lines = [list(heads), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]

    def join(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    return "\n".join(join(line) for line in lines)


def printable(text: str, limit: int = 0) -> str:
    """The text as one line that says to a terminal what it says to a reader.

    Names of files, captions and what servers answer come from strangers: control characters, and
    those that turn the direction of writing, would move the cursor or hide what follows. `limit`:
    characters at most; 0 for any number.
    """
    line = " ".join(
        "".join(
            " " if category(c) in ("Cc", "Cs", "Zl", "Zp") or c in _DIRECTIONS else c for c in text
        ).split()
    )
    return line if not limit or len(line) <= limit else line[: limit - 1] + "…"


_DIRECTIONS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def count(amount: int, noun: str) -> str:
    """`1 photo`, `2 photos`, `1,200 photos`."""
    return f"{amount:,} {noun}" if amount == 1 else f"{amount:,} {noun}s"


def when(time: timestamp_pb2.Timestamp) -> str:
    """`2026-11-22 14:05` in UTC."""
    return time.ToDatetime().strftime("%Y-%m-%d %H:%M")
