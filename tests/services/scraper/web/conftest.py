"""A web of loopback addresses that the scraper is allowed to reach."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from web_server import WebServer


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """The server; loopback allowed; short waits."""
    settings = {
        "ALLOW": "127.0.0.0/8",
        "RETRY_S": "0.02",
        "COOLDOWN_S": "0.1",
        "MAX_WAIT_S": "5",
        "TIMEOUT_S": "2",
        "TRANSFER_S": "3",
        "CONTACT": "me@example.org",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"TAGLOOM_URLS_{name}", value)
    with WebServer() as server:
        yield server
