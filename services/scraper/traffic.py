"""What goes over the network, noted where another process can count it.

Collecting runs in a worker process, `/metrics` is served by its parent: the worker appends a line
to a file for each request, the parent reads what is new when Prometheus asks.
"""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path

__all__ = ["TrafficLog"]


class TrafficLog:
    """Appends lines `["request", kind, outcome]`, `["wait", reason, seconds]` and
    `["pause", timestamp]`; None: nowhere."""

    def __init__(self, path: Path | None) -> None:
        self._descriptor = (
            -1
            if path is None
            else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        )

    def request(self, kind: str, outcome: str) -> None:
        """One request was sent. outcome: ok, or why not.

        kind: page, query, mobile, api, image (Instagram); url, robots (lists of addresses).
        """
        self._append("request", kind, outcome)

    def wait(self, reason: str, seconds: float) -> None:
        """So many seconds were waited. reason: pause, budget, rate_limit, retry, account."""
        self._append("wait", reason, round(seconds, 3))

    def pause(self, until: datetime) -> None:
        """Instagram asked to be left alone until then."""
        self._append("pause", round(until.timestamp(), 3))

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, *values: str | float) -> None:
        if self._descriptor >= 0:
            # One write with O_APPEND: lines of several writers do not mix.
            os.write(self._descriptor, json.dumps(values).encode() + b"\n")
