"""The folder of an export: new, or made by an earlier one; nothing of somebody else's is lost."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tagloom.cli.files import write_new
from tagloom.errors import AlreadyExists
from tagloom.files import not_written

__all__ = ["ExportFolder"]

_LIST = "items.jsonl"
_MARK = ".tagloom-export.json"
"""says whose export it is, and the SHA-256 of the lists that were written there: a list that has
another was changed by somebody"""


class ExportFolder:
    """Where photos of the resource `name` go, with their list.

    Raises AlreadyExists (FILE_EXISTS) if something else lies there, or if the list was changed
    since it was written; PermissionDenied (PATH_NOT_WRITABLE), ResourceExhausted (DISK_FULL).
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._before: list[str] = []
        """files of the export that lies there"""
        self._lists: list[str] = []
        try:
            if path.exists() and not (path.is_dir() and not any(path.iterdir())):
                self._look()
            self._mark()
        except OSError as error:
            raise not_written(path, error) from error

    def write(self, file: str, data: bytes) -> None:
        """One photo. AlreadyExists (FILE_EXISTS) if other bytes are there under its name."""
        try:
            write_new(self._path / file, data)
        except AlreadyExists as error:
            raise _taken(
                self._path / file, "was changed after it was exported; move it away, or choose"
            ) from error

    def finish(self, lines: list[dict[str, Any]]) -> list[str]:
        """Write the list, each line with the name of its `file`. The files of the earlier export
        that this one does not have: they stay."""
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
        # The mark first: whichever of the two lists a kill leaves there is known as ours.
        self._lists = list(dict.fromkeys([*self._lists, hashlib.sha256(text).hexdigest()]))
        self._mark()
        write_new(self._path / _LIST, text, overwrite=True)
        now = {line["file"] for line in lines}
        return [f for f in self._before if f not in now and (self._path / f).is_file()]

    def _look(self) -> None:
        try:
            mark = json.loads((self._path / _MARK).read_bytes())
            ours, self._lists = mark["export_of"] == self._name, list(mark["lists"])
        except (OSError, ValueError, KeyError, TypeError):
            ours = False
        if not ours:
            raise _taken(self._path, f"exists and is no earlier export of {self._name}; choose")
        listed = self._path / _LIST
        if not listed.exists():
            return
        text = listed.read_bytes()
        found = hashlib.sha256(text).hexdigest()
        if found not in self._lists:
            raise _taken(listed, "was changed after it was exported; move it away, or choose")
        self._lists = [found]
        self._before = [json.loads(line)["file"] for line in text.splitlines()]

    def _mark(self) -> None:
        mark = {"export_of": self._name, "lists": self._lists}
        write_new(self._path / _MARK, json.dumps(mark).encode() + b"\n", overwrite=True)


def _taken(path: Path, what: str) -> AlreadyExists:
    return AlreadyExists(f"{path} {what} another folder.", reason="FILE_EXISTS", path=str(path))
