"""`tagloom up`: all installed services at one address."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from tagloom.cli.session import Session, command_options, prepare_workers

if TYPE_CHECKING:
    from tagloom.rpc.server import Server
    from tagloom.rpc.settings import Settings

__all__ = ["up_command"]


@click.command("up")
@click.option("--address", default=None, help="Where to listen [default: 127.0.0.1:50051].")
@click.option(
    "--metrics-address",
    default=None,
    help="Where Prometheus scrapes /metrics [default: 127.0.0.1:9464].",
)
@click.option("--service", "only", multiple=True, help="Serve just this one; may be repeated.")
@click.option("--insecure", is_flag=True, default=None, help="No TLS or token beyond loopback.")
@command_options
def up_command(
    session: Session,
    address: str | None,
    metrics_address: str | None,
    only: tuple[str, ...],
    insecure: bool | None,
) -> None:
    """Serve every installed service until SIGTERM or Ctrl-C; TAGLOOM_… variables set the rest.

    Stopping drains: long work is handed back to the store, and goes on with the next start. With
    --json the document, printed once it listens, says where.
    """
    context = click.get_current_context()
    for each in (context, context.find_root()):
        if each.get_parameter_source("target") is ParameterSource.COMMANDLINE:
            raise click.UsageError("up serves here; --target is for commands that call services.")
    from tagloom.rpc.run import serve_until_stopped
    from tagloom.rpc.service import installed_services

    prepare_workers()
    defaults = {"TAGLOOM_METRICS_ADDRESS": "127.0.0.1:9464", "TAGLOOM_LOG_FORMAT": "text"}
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    given = {
        "address": address,
        "store": session.store_url,
        "metrics_address": metrics_address,
        "insecure": insecure,
    }
    services = installed_services(only)

    def started(server: Server, settings: Settings) -> None:
        def where(address: str, port: int) -> str:
            return f"{address.rpartition(':')[0]}:{port}" if address else ""

        document = {
            "address": where(settings.address, server.port),
            "metrics_address": where(settings.metrics_address, server.metrics_port),
            "store": settings.store,
            "services": list(services),
        }
        session.answer(document, "")
        sys.stdout.flush()

    serve_until_stopped(services, given, started)
