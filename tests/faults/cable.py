"""A cable between a client and a server on loopback that can be cut at a chosen byte."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Literal, Self

__all__ = ["Cable"]


class Cable:
    """A TCP proxy. `cut` arms it; the next connection with traffic in that direction is cut.

    Arm it while the line is idle: HTTP asks and answers in turn, so the next bytes from the client
    are a request and the next ones from the server its answer.
    """

    def __init__(self, port: int) -> None:
        """`port` is the server's, on 127.0.0.1."""
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._direction: Literal["request", "answer"] | None = None
        self._left = 0
        self.cuts = 0
        """how often it was cut; a test asserts that it was"""
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, direction: Literal["request", "answer"], after: int = 0) -> None:
        """Let `after` bytes of the next request or answer through, then close both ends."""
        with self._lock:
            self._direction, self._left = direction, after

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._server))
            except OSError:
                client.close()
                continue
            for direction, source, target in (
                ("request", client, server),
                ("answer", server, client),
            ):
                arguments = (direction, source, target)
                threading.Thread(target=self._pump, args=arguments, daemon=True).start()

    def _pump(self, direction: str, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    cut = self._direction == direction and len(data) >= self._left
                    if cut:
                        data = data[: self._left]
                        self._direction = None
                        self.cuts += 1
                    elif self._direction == direction:
                        self._left -= len(data)
                target.sendall(data)
                if cut:
                    break
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
