"""A server inside another program: for commands that start the whole stack, and for tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from tagloom.rpc.server import Server
from tagloom.rpc.service import Register
from tagloom.rpc.settings import Settings

__all__ = ["BackgroundServer"]

R = TypeVar("R")


class BackgroundServer:
    """Runs a `Server` with an event loop in a thread of its own, as a context manager."""

    def __init__(self, services: Mapping[str, Register], settings: Settings) -> None:
        self._services = services
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="tagloom-server", daemon=True
        )
        self.server: Server | None = None

    def __enter__(self) -> Self:
        """Start and listen. Raises what `Server` and its `start` raise."""
        self._thread.start()
        try:
            self.server = self._run(self._start())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """host:port to connect to."""
        if self.server is None:
            raise RuntimeError("the server is not running")
        host = self._settings.address.rpartition(":")[0]
        return f"{host}:{self.server.port}"

    def stop(self, grace_s: float | None = None) -> None:
        """Drain and stop; calling it twice is harmless."""
        if self.server is not None:
            server, self.server = self.server, None
            self._run(server.stop(grace_s))
            self._end()

    async def _start(self) -> Server:
        server = Server(self._services, self._settings)
        await server.start()
        return server

    def _run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
