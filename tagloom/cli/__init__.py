"""The command line: `tagloom`."""

from __future__ import annotations

from tagloom.cli.app import main

__all__ = ["main"]
