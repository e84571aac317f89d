"""Fixtures for every test."""

from __future__ import annotations

import signal
import threading

pytest_plugins = [
    "tests.plugins.golden_metrics",
    "tests.plugins.minio_server",
    "tests.plugins.prometheus_server",
]

# A shell that starts the tests in the background has them ignore Ctrl-C, and with them every
# program that they start and interrupt.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
