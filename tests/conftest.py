"""Fixtures for every test."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator

import pytest
from hypothesis import settings

pytest_plugins = [
    "tests.plugins.golden_metrics",
    "tests.plugins.minio_server",
    "tests.plugins.prometheus_server",
]

# A shell that starts the tests in the background has them ignore Ctrl-C, and with them every
# program that they start and interrupt.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test is timed: an example that takes 200 ms on a busy machine is no failure.
settings.register_profile("tagloom", deadline=None)
settings.load_profile("tagloom")


@pytest.fixture(autouse=True)
def logging_kept() -> Iterator[None]:
    """A command sets up the logging of the whole process: undone after the test that runs it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
