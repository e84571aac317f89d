"""A real server with the echo service, on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import echo_service
import grpc
import pytest
from echo_service import EchoClient, Serve

from tagloom.rpc.background import BackgroundServer
from tagloom.rpc.settings import Settings


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Start a server with these settings; its store stays the same within one test."""

    def start(**settings: Any) -> BackgroundServer:
        defaults: dict[str, Any] = {
            "store": str(tmp_path / "store"),
            "address": "127.0.0.1:0",
            "lease_s": 1.5,
            "grace_s": 6.0,
            "workers": 2,
        }
        return BackgroundServer({"echo": echo_service.register}, Settings(**defaults | settings))

    return start


@pytest.fixture
def server(serve: Serve) -> Iterator[BackgroundServer]:
    with serve() as running:
        yield running


@pytest.fixture
def channel(server: BackgroundServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address) as opened:
        yield opened


@pytest.fixture
def echo(channel: grpc.Channel) -> EchoClient:
    return EchoClient(channel)
