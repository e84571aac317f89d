"""Clients connected to a real server with the echo service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import echo_service
import pytest
from echo_service import EchoClient

from tagloom.client import Clients, Credentials, connect
from tagloom.rpc.background import BackgroundServer
from tagloom.rpc.settings import Settings


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundServer]:
    folder: Path = tmp_path_factory.mktemp("store")
    settings = Settings(store=str(folder), address="127.0.0.1:0", grace_s=6.0, workers=2)
    with BackgroundServer({"echo": echo_service.register}, settings) as running:
        yield running


@pytest.fixture(scope="module")
def clients(server: BackgroundServer) -> Iterator[Clients]:
    with connect(server.address, Credentials()) as opened:
        yield opened


@pytest.fixture(scope="module")
def echo(clients: Clients) -> EchoClient:
    return EchoClient(clients.channel("echo"))
