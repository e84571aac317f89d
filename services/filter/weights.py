"""Files of weights that users bring themselves: where they are named, and which ones they are."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tagloom.errors import FailedPrecondition

__all__ = ["Weights"]


@dataclass(frozen=True, slots=True)
class Weights:
    """A file that no package brings."""

    environment: str
    """the variable that names it, on the machine of the filter"""
    what: str
    """for people: "the weights of OpenCV's YuNet" """
    where: str
    """for people: which file it is, and its licence"""

    def path(self) -> Path:
        """The file. Raises FailedPrecondition (WEIGHTS_NOT_GIVEN, WEIGHTS_NOT_FOUND)."""
        named = os.environ.get(self.environment, "")
        if not named:
            raise FailedPrecondition(
                f"This check needs {self.what} ({self.where}), which no package brings; name the "
                f"file in {self.environment} where the filter runs, or switch the check off.",
                reason="WEIGHTS_NOT_GIVEN",
                variable=self.environment,
            )
        path = Path(named).expanduser()
        if not path.is_file():
            raise FailedPrecondition(
                f"{self.environment} names {path}, where no file is; correct it, or switch the "
                "check off.",
                reason="WEIGHTS_NOT_FOUND",
                variable=self.environment,
            )
        return path

    def digest(self) -> str:
        """The first 8 hex digits of the file's SHA-256: other weights give other scores."""
        path = self.path()
        try:
            return _digest(path, path.stat().st_mtime_ns)
        except OSError as error:
            raise self.unfit(path) from error

    def unfit(self, path: Path) -> FailedPrecondition:
        """What is said of a file that cannot be read, or is another network: that is seen at the
        latest when it runs, since OpenCV reads any."""
        return FailedPrecondition(
            f"OpenCV cannot run {path} as {self.what}; give the file {self.where}, or switch the "
            "check off.",
            reason="WEIGHTS_UNREADABLE",
            variable=self.environment,
        )


@cache
def _digest(path: Path, modified_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]
