"""All services inside a program's own process: what commands without a `--target` start.

(`tagloom up` serves the same ones to others.) Services are known by entry points alone: those whose
extra is installed are served, the others left out with a log line.
"""

from __future__ import annotations

from collections.abc import Iterable

from tagloom.rpc.background import BackgroundServer
from tagloom.rpc.service import installed_services
from tagloom.rpc.settings import Settings

__all__ = ["in_background"]


def in_background(settings: Settings, only: Iterable[str] = ()) -> BackgroundServer:
    """The stack as a context manager, for a program that wants it inside its own process."""
    return BackgroundServer(installed_services(only), settings)
