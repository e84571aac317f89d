"""One gRPC server process: listens, tells its health, drains.

Health follows the usual split: the empty name is liveness (SERVING from the first moment), a
service's name is readiness (SERVING once the store answers, NOT_SERVING while it does not and
while draining).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import grpc.aio
from google.longrunning import operations_pb2_grpc
from google.longrunning import operations_proto_pb2 as operations_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from tagloom.cores import usable_cores
from tagloom.errors import FailedPrecondition, InvalidArgument, TagloomError
from tagloom.rpc.interceptors import CallInterceptor
from tagloom.rpc.metrics import (
    CallMetrics,
    MetricsServer,
    OperationMetrics,
    ServerMetrics,
    StoreMetrics,
    new_registry,
)
from tagloom.rpc.operations import Operations
from tagloom.rpc.operations_service import OperationsService
from tagloom.rpc.runner import Runner
from tagloom.rpc.service import Kit, Register
from tagloom.rpc.settings import Settings, is_loopback, split_address
from tagloom.rpc.workers import Workers
from tagloom.store import open_store

__all__ = ["Server"]

_log = logging.getLogger(__name__)

_READY_INTERVAL_S = 5.0
_OPERATIONS = operations_pb2.DESCRIPTOR.services_by_name["Operations"].full_name
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Server:
    """A set of services behind one address."""

    def __init__(self, services: Mapping[str, Register], settings: Settings) -> None:
        """Raises InvalidArgument (ADDRESS_UNPROTECTED, …) for settings that must not be served."""
        if not services:
            raise InvalidArgument(
                "No service is installed; install one, for example pip install 'tagloom[filter]'.",
                reason="NO_SERVICE",
            )
        self._token = settings.secret_token()
        protected = self._token or settings.tls_cert or settings.insecure
        if not protected and not is_loopback(settings.address):
            raise InvalidArgument(
                f"{settings.address} can be reached from other machines: give the server TLS "
                "(--tls-cert, --tls-key) or a token (TAGLOOM_TOKEN), or say --insecure.",
                reason="ADDRESS_UNPROTECTED",
                address=settings.address,
            )
        self._settings = settings
        self._services = dict(services)
        self._kits: list[Kit] = []
        self._runners: list[Runner] = []
        self._health = health_aio.HealthServicer()
        self._servers: list[grpc.aio.Server] = []
        self._metrics_server: MetricsServer | None = None
        self._watch: asyncio.Task[None] | None = None
        self._operations_service: OperationsService | None = None
        self._io = ThreadPoolExecutor(8, thread_name_prefix="operations")
        self.registry = new_registry()
        self._metrics = ServerMetrics(self.registry, self._services)
        StoreMetrics(self.registry)
        self.port = 0
        """where it listens, once started"""
        self.health_port = 0
        self.metrics_port = 0

    async def start(self) -> None:
        """Listen, then become ready in the background.

        Raises FailedPrecondition (ADDRESS_IN_USE), InvalidArgument (TLS_FILE_UNREADABLE), and what
        opening the store raises. Nothing is left running when it raises.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop(grace_s=0)
            raise

    async def _start(self) -> None:
        settings = self._settings
        store = await asyncio.to_thread(open_store, settings.store)
        server = grpc.aio.server(
            interceptors=[
                CallInterceptor(
                    CallMetrics(self.registry),
                    token=self._token,
                    deadline_s=settings.deadline_s,
                )
            ],
            options=_options(settings),
        )
        self._servers.append(server)
        operation_metrics = OperationMetrics(self.registry)
        hosted: dict[str, Operations] = {}
        for name, register in self._services.items():
            operations = hosted[name] = Operations(name, store, self._io)
            kit = Kit(
                name=name,
                settings=settings,
                server=server,
                store=store,
                operations=operations,
                workers=Workers(
                    settings.workers or usable_cores(),
                    cancel_grace_s=settings.grace_s / 2,
                    log_format=settings.log_format,
                    log_level=settings.log_level,
                ),
                registry=self.registry,
            )
            self._kits.append(kit)
            register(kit)
            if settings.max_operations:
                operations.at_once = settings.max_operations
            self._runners.append(
                Runner(
                    operations,
                    kit.workers,
                    operation_metrics,
                    lease_s=settings.lease_s,
                    stop_grace_s=settings.grace_s * 0.75,
                )
            )
        self._operations_service = OperationsService(store, hosted, self._io)
        operations_pb2_grpc.add_OperationsServicer_to_server(self._operations_service, server)
        announced = [_OPERATIONS, *(name for kit in self._kits for name in kit.announced)]
        for name in announced:
            await self._health.set(name, _NOT_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if settings.reflection:
            reflection.enable_server_reflection(
                [*announced, _HEALTH, reflection.SERVICE_NAME], server
            )
        self.port = _listen(server, settings.address, _credentials(settings))
        if settings.metrics_address:
            self._metrics_server = MetricsServer(settings.metrics_address, self.registry)
            self.metrics_port = self._metrics_server.port
        if settings.health_address:
            health_server = grpc.aio.server(options=_options(settings))
            health_pb2_grpc.add_HealthServicer_to_server(self._health, health_server)
            self.health_port = _listen(health_server, settings.health_address, None)
            self._servers.append(health_server)
        for each in self._servers:
            await each.start()
        self._watch = asyncio.create_task(self._watch_readiness(announced))
        for runner in self._runners if settings.run_operations else ():
            runner.start()
        host = split_address(settings.address)[0]
        _log.info("serving %s at %s:%d", ", ".join(self._services), host, self.port)

    async def wait(self) -> None:
        """Until it is stopped."""
        await self._servers[0].wait_for_termination()

    async def stop(self, grace_s: float | None = None) -> None:
        """Drain: NOT_SERVING, wait for balancers, hand operations back, end calls, end processes.

        `grace_s` overrides the settings' grace. Calling it twice is harmless.
        """
        if self._watch is not None:
            self._watch.cancel()
        self._metrics.ready.set(0)
        await self._health.enter_graceful_shutdown()
        for kit in self._kits:
            kit.operations.draining = True
        if self._servers and grace_s is None and self._settings.drain_s:
            await asyncio.sleep(self._settings.drain_s)
        for kit in self._kits:
            kit.operations.closing = True
        if self._operations_service is not None:
            self._operations_service.closing.set()
        grace_s = self._settings.grace_s if grace_s is None else grace_s
        await asyncio.gather(
            self._hand_back(grace_s), *(server.stop(grace_s) for server in self._servers)
        )
        for kit in self._kits:
            for closer in reversed(kit.closers):
                try:
                    await closer()
                except Exception:  # whatever it was, the others are to be closed too
                    _log.exception("the %s service did not close cleanly", kit.name)
            await kit.workers.close()
        self._kits.clear()
        if self._metrics_server is not None:
            await asyncio.to_thread(self._metrics_server.close)
            self._metrics_server = None
        self._io.shutdown(wait=False, cancel_futures=True)

    async def _hand_back(self, grace_s: float) -> None:
        """Give leases back within the grace; what takes longer loses its process first."""
        if not self._runners:
            return
        handing = [asyncio.create_task(runner.hand_back()) for runner in self._runners]
        _, late = await asyncio.wait(handing, timeout=grace_s)
        if late:
            for kit in self._kits:
                await kit.workers.close()
            await asyncio.wait(late, timeout=5.0)

    async def _watch_readiness(self, names: list[str]) -> None:
        ready = None

        def look() -> None:
            # Opening it anew tells a folder that is gone from one that is merely empty.
            open_store(self._settings.store, create=False).list("operations/", limit=1)

        while True:
            try:
                async with asyncio.timeout(_READY_INTERVAL_S * 2):
                    await asyncio.get_running_loop().run_in_executor(self._io, look)
                now = True
            except (TagloomError, TimeoutError) as error:
                now = False
                if ready is not False:
                    _log.error("not ready, the store does not answer: %s", error)
            except Exception:  # a watch that died would leave the health as it was, for ever
                now = False
                if ready is not False:
                    _log.exception("not ready, the store cannot be looked at")
            if now is not ready:
                for name in names:
                    await self._health.set(name, _SERVING if now else _NOT_SERVING)
                self._metrics.ready.set(now)
                ready = now
            await asyncio.sleep(_READY_INTERVAL_S if ready else _READY_INTERVAL_S / 5)


def _options(settings: Settings) -> list[tuple[str, int]]:
    limit = settings.max_message_mib * 2**20
    return [
        # Two servers on one port would each get some of the calls: fail instead.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", limit),
        ("grpc.max_send_message_length", limit),
        # Clients ping every 30 s to notice dead peers; the default of 5 minutes would cut them off.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
    ]


def _credentials(settings: Settings) -> grpc.ServerCredentials | None:
    if not settings.tls_cert:
        return None
    certificate, key = _read(settings.tls_cert), _read(settings.tls_key)
    client_ca = _read(settings.tls_client_ca) if settings.tls_client_ca else None
    try:  # gRPC itself would only say that it cannot listen
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
        if client_ca:
            context.load_verify_locations(settings.tls_client_ca)
    except OSError as error:  # ssl.SSLError is one
        raise InvalidArgument(
            f"The TLS files cannot be used ({error}): give PEM files, and the key that belongs to "
            "the certificate.",
            reason="TLS_FILES_INVALID",
        ) from error
    return grpc.ssl_server_credentials(
        [(key, certificate)],
        root_certificates=client_ca,
        require_client_auth=client_ca is not None,
    )


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidArgument(
            f"The TLS file {path} cannot be read ({error.strerror}); check the path and rights.",
            reason="TLS_FILE_UNREADABLE",
            path=path,
        ) from error


def _listen(
    server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None
) -> int:
    try:
        _try_to_bind(address)
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except (OSError, RuntimeError) as error:
        raise FailedPrecondition(
            f"The server cannot listen at {address}: something else listens there already, or "
            "the address is not this machine's. Stop the other program, or choose another "
            "address with --address.",
            reason="ADDRESS_IN_USE",
            address=address,
        ) from error


def _try_to_bind(address: str) -> None:
    """Raises OSError where gRPC would fail: it prints lines of its own to stderr when it does."""
    host, port = split_address(address)
    if not port:
        return
    refused: OSError | None = None
    for family, kind, _, _, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        with socket.socket(family, kind) as probe:
            # As gRPC does: a port whose last connections still fade is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(place)
            except OSError as error:
                refused = error
            else:
                return  # one of a name's addresses is enough for gRPC too
    if refused is not None:
        raise refused
