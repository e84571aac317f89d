"""Connections to addresses that were judged, kept for the next request, and never endless.

urllib3 counts its timeouts anew with each piece that arrives: a server that drips a byte now and
then could hold a connection for ever, in the head of its answer too. So each request also has a
deadline, after which its socket is shut.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from services.scraper.web.addresses import Target
from services.scraper.web.settings import WebSettings

__all__ = ["Connections"]

_HOSTS_KEPT = 256
_LOOK_S = 0.25


class _Watched(Protocol):
    sock: Any
    due: float


class Connections:
    """Pools of connections by host and address. Safe to share by threads; close it."""

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings
        self._timeout = urllib3.Timeout(connect=settings.connect_s, read=settings.timeout_s)
        self._pools: OrderedDict[tuple[str, str, int, str], urllib3.HTTPConnectionPool]
        self._pools = OrderedDict()
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[Any] = weakref.WeakSet()
        self._closed = threading.Event()
        # The system's authorities (SSL_CERT_FILE too), and certifi's where there are none.
        self._tls = ssl.create_default_context()
        if not self._tls.get_ca_certs():
            self._tls.load_verify_locations(certifi.where())
        self._plain_class = _watched(HTTPConnection, self._open, settings.transfer_s)
        self._tls_class = _watched(HTTPSConnection, self._open, settings.transfer_s)
        self._guard = threading.Thread(target=self._shut_late, name="deadlines", daemon=True)
        self._guard.start()

    def get(
        self, target: Target, address: str, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        """The answer, its body unread, redirects not followed.

        Raises urllib3's HTTPError. Read the body with `read1`, then `release_conn` or `close`.
        """
        return self._pool(target, address).urlopen(
            "GET",
            target.path,
            headers={"Host": target.authority, **headers},
            redirect=False,
            retries=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
            timeout=self._timeout,
        )

    def close(self) -> None:
        """Close all connections."""
        self._closed.set()
        with self._lock:
            pools, self._pools = list(self._pools.values()), OrderedDict()
        for pool in pools:
            pool.close()
        self._guard.join()

    def _pool(self, target: Target, address: str) -> urllib3.HTTPConnectionPool:
        key = (target.scheme, target.host, target.port, address)
        with self._lock:
            pool = self._pools.pop(key, None)
            if pool is None:
                pool = self._new_pool(target, address)
                if len(self._pools) >= _HOSTS_KEPT:
                    _, old = self._pools.popitem(last=False)
                    old.close()
            self._pools[key] = pool
        return pool

    def _new_pool(self, target: Target, address: str) -> urllib3.HTTPConnectionPool:
        size = self._settings.per_host
        if target.scheme == "http":
            plain = urllib3.HTTPConnectionPool(address, target.port, maxsize=size)
            plain.ConnectionCls = self._plain_class
            return plain
        # The certificate must be the name's, though the connection goes to the address.
        tls = urllib3.HTTPSConnectionPool(
            address,
            target.port,
            maxsize=size,
            ssl_context=self._tls,
            server_hostname=target.host,
            assert_hostname=target.host,
        )
        tls.ConnectionCls = self._tls_class
        return tls

    def _shut_late(self) -> None:
        while not self._closed.wait(_LOOK_S):
            now = time.monotonic()
            for connection in list(self._open):
                if connection.due < now and (sock := connection.sock) is not None:
                    with suppress(OSError):
                        # Not SSLSocket's own method, which would pull the session from under
                        # the thread that reads.
                        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _watched(base: type[Any], known: weakref.WeakSet[Any], limit_s: float) -> type[Any]:
    """A kind of connection that knows when its request must be over."""

    class Watched(base):  # type: ignore[misc]  # urllib3's two, decided above
        due = float("inf")

        def connect(self) -> None:
            self.due = time.monotonic() + limit_s
            known.add(self)
            super().connect()

        def request(self, *args: Any, **kwargs: Any) -> None:
            self.due = time.monotonic() + limit_s
            known.add(self)
            super().request(*args, **kwargs)

    return Watched
