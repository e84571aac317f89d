"""The bytes of a pickle, read in order and never beyond their end."""

from __future__ import annotations

import struct
from typing import Any

from tagloom.networks.checkpoints.records import CheckpointError, Limits

__all__ = ["ByteReader"]


class ByteReader:
    """A place in `data`, and the limits of what may be read at once."""

    def __init__(self, data: memoryview, start: int, limits: Limits) -> None:
        self._data = data
        self._at = start
        self._limits = limits

    def _damaged(self, what: str) -> CheckpointError:
        return CheckpointError("CHECKPOINT_DAMAGED", f"its pickle {what}")

    def _limit(self, what: str) -> CheckpointError:
        return CheckpointError("CHECKPOINT_TOO_LARGE", f"it {what}, far more than a checkpoint")

    def _take(self, size: int) -> memoryview:
        start = self._at
        if size > len(self._data) - start:
            raise self._damaged(
                f"declares {size:,} bytes where {len(self._data) - start:,} are left"
            )
        self._at = start + size
        return self._data[start : start + size]

    def _number(self, layout: struct.Struct) -> Any:
        return layout.unpack(self._take(layout.size))[0]

    def _line(self, most: int) -> str:
        """Text up to a line feed, without it."""
        start = self._at
        part = bytes(self._data[start : start + most + 1])
        length = part.find(b"\n")
        if length < 0:
            if len(part) > most:
                raise self._limit(f"has a line of more than {most:,} bytes")
            raise self._damaged("ends within a line: it is cut off")
        self._at = start + length + 1
        try:
            return part[:length].decode("utf-8")
        except UnicodeDecodeError:
            raise self._damaged("has a name that is no text") from None

    def _text(self, size: int) -> str:
        if size > self._limits.text:
            raise self._limit(f"has a text of {size:,} bytes")
        try:
            return str(self._take(size), "utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise self._damaged("has a text that is not UTF-8") from None

    def _escaped_line(self) -> str:
        """A line of raw Unicode escapes: the tensors of protocol 0 are such lines."""
        start = self._at
        most = min(len(self._data), start + self._limits.text)
        step = 1 << 16
        for block in range(start, most, step):
            found = bytes(self._data[block : min(block + step, most)]).find(b"\n")
            if found >= 0:
                self._at = block + found + 1
                raw = self._data[start : self._at - 1]
                try:
                    return str(raw, "raw-unicode-escape")
                except UnicodeDecodeError:
                    raise self._damaged("has a text with a wrong escape") from None
        raise self._damaged("ends within a text: it is cut off")
