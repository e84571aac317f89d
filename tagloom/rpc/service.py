"""How a service plugs into a server: one function `register(kit)`.

    def register(kit: Kit) -> None:
        servicer = FilterService(kit)
        filter_pb2_grpc.add_FilterServiceServicer_to_server(servicer, kit.server)
        kit.announce(filter_pb2.DESCRIPTOR)

The function is named by an entry point of the group `tagloom.services`, whose name ("filter") is
the service's: the first part of its operations' names. One server hosts one service or several.
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import grpc.aio
from google.protobuf.descriptor import FileDescriptor
from prometheus_client import CollectorRegistry

from tagloom.errors import NotFound
from tagloom.rpc.operations import Operations
from tagloom.rpc.settings import Settings
from tagloom.rpc.workers import Workers
from tagloom.store.interface import Store

__all__ = ["ENTRY_POINTS", "Kit", "Register", "installed_services"]

ENTRY_POINTS = "tagloom.services"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Kit:
    """What a server lends to one service, from `register` until the server stops."""

    name: str
    """the service's short name, for example `filter`"""
    settings: Settings
    server: grpc.aio.Server
    """to add servicers to"""
    store: Store
    """blocking: call it in `asyncio.to_thread`, or in a worker"""
    operations: Operations
    """long work: declare handlers in `register`, start operations from methods"""
    workers: Workers
    """short CPU work of unary methods: `await kit.workers.run(function, …)`"""
    registry: CollectorRegistry
    """Prometheus metrics of the service register here, not in the global registry"""
    announced: list[str] = field(default_factory=list)
    closers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    def announce(self, file: FileDescriptor) -> None:
        """Name the services of this proto file to health checks and reflection."""
        self.announced += [service.full_name for service in file.services_by_name.values()]

    def on_close(self, closer: Callable[[], Awaitable[None]]) -> None:
        """Have `closer` awaited when the server has stopped taking calls; last added goes first."""
        self.closers.append(closer)


Register = Callable[[Kit], None]


def installed_services(only: Iterable[str] = ()) -> dict[str, Register]:
    """Every service whose extra is installed, by name; `only` narrows them.

    One that cannot be imported is left out, with a log line that says why. Raises NotFound
    (SERVICE_NOT_INSTALLED) for a name asked for that is not there.
    """
    wanted, found = set(only), dict[str, Register]()
    for entry in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda e: e.name):
        if wanted and entry.name not in wanted:
            continue
        try:
            found[entry.name] = entry.load()
        except ImportError as error:
            _log.warning(
                "the %s service is left out: %s is not installed (pip install 'tagloom[%s]')",
                entry.name,
                error.name or error,
                entry.name,
            )
    if missing := wanted - set(found):
        raise NotFound(
            f"The service {min(missing)!r} is not installed; install its extra with "
            f"pip install 'tagloom[{min(missing)}]'.",
            reason="SERVICE_NOT_INSTALLED",
            service=min(missing),
        )
    return found
