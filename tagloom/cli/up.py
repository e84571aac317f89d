"""`tagloom up`: all installed services at one address."""

from __future__ import annotations

import os
import sys

import click

from tagloom.cli.session import DEFAULT_STORE, prepare_workers
from tagloom.errors import TagloomError

__all__ = ["up_command"]


@click.command("up")
@click.option("--address", default=None, help="Where to listen [default: 127.0.0.1:50051].")
@click.option("--store", envvar="TAGLOOM_STORE", default=DEFAULT_STORE, show_default=True)
@click.option(
    "--metrics-address",
    default=None,
    help="Where Prometheus scrapes /metrics [default: 127.0.0.1:9464].",
)
@click.option("--service", "only", multiple=True, help="Serve just this one; may be repeated.")
@click.option("--insecure", is_flag=True, default=None, help="No TLS or token beyond loopback.")
def up_command(
    address: str | None,
    store: str,
    metrics_address: str | None,
    only: tuple[str, ...],
    insecure: bool | None,
) -> None:
    """Serve every installed service until SIGTERM or Ctrl-C; TAGLOOM_… variables set the rest.

    Stopping drains: long work is handed back to the store, and goes on with the next start.
    """
    from tagloom.rpc.run import run
    from tagloom.rpc.service import installed_services

    prepare_workers()
    defaults = {"TAGLOOM_METRICS_ADDRESS": "127.0.0.1:9464", "TAGLOOM_LOG_FORMAT": "text"}
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    given = {
        "address": address,
        "store": store,
        "metrics_address": metrics_address,
        "insecure": insecure,
    }
    try:
        services = installed_services(only)
    except TagloomError as error:
        click.echo(f"{error.message} [{error.reason}]", err=True)
        sys.exit(1)
    sys.exit(run(services, given))
