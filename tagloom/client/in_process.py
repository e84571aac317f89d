"""The whole stack inside this process, for commands without a server."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
from collections.abc import Iterable, Iterator

from tagloom.client.channel import Credentials
from tagloom.client.clients import Clients, connect
from tagloom.errors import FailedPrecondition
from tagloom.rpc.settings import Settings

__all__ = ["ENTRY_POINT", "in_process"]

ENTRY_POINT = "tagloom.stack"


@contextlib.contextmanager
def in_process(settings: Settings | None = None, *, only: Iterable[str] = ()) -> Iterator[Clients]:
    """Start the services on a free loopback port, give clients for them, drain at the end.

    `settings` default to those of the environment; address, token and TLS are of no concern here
    and are replaced. `only` names the services to start; all that are installed by default.
    Operations that are not done at the end are handed back to the store, and go on with the next
    server that opens it.

    Raises FailedPrecondition (STACK_NOT_INSTALLED), and what starting the server raises.
    """
    entries = list(importlib.metadata.entry_points(group=ENTRY_POINT))
    if not entries:
        raise FailedPrecondition(
            "The services are not installed beside this client; install tagloom[all], or name a "
            "server with --target.",
            reason="STACK_NOT_INSTALLED",
        )
    private = dataclasses.replace(
        settings or Settings.from_environment(),
        address="127.0.0.1:0",
        health_address="",
        token="",
        token_file="",
        tls_cert="",
        tls_key="",
        tls_client_ca="",
    )
    stack = entries[0].load()
    with (
        stack.in_background(private, only) as server,
        connect(server.address, Credentials()) as clients,
    ):
        yield clients
