"""All services in one process: what `tagloom up` runs, and commands without a `--target` start.

The only place that knows every service, and it does so by entry points: those whose extra is
installed are served, the others left out with a log line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from tagloom.errors import TagloomError
from tagloom.rpc.background import BackgroundServer
from tagloom.rpc.run import run, settings_options
from tagloom.rpc.service import installed_services
from tagloom.rpc.settings import Settings

__all__ = ["in_background", "main"]


def in_background(settings: Settings, only: Iterable[str] = ()) -> BackgroundServer:
    """The stack as a context manager, for a program that wants it inside its own process."""
    return BackgroundServer(installed_services(only), settings)


@click.command()
@click.option("--service", "only", multiple=True, help="Serve just this one; may be repeated.")
@settings_options
def main(only: tuple[str, ...], **given: object) -> None:
    """Serve every installed service at one address. Flags win over TAGLOOM_… variables."""
    try:
        services = installed_services(only)
    except TagloomError as error:
        print(f"{error.message} [{error.reason}]", file=sys.stderr)
        sys.exit(1)
    sys.exit(run(services, given))


if __name__ == "__main__":
    main()
