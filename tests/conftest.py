"""Fixtures for every test."""

from __future__ import annotations

pytest_plugins = [
    "tests.plugins.golden_metrics",
    "tests.plugins.minio_server",
    "tests.plugins.prometheus_server",
]
