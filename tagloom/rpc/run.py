"""The command line of a server process, and its life from start to SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from tagloom.errors import TagloomError
from tagloom.rpc.logs import configure_logging
from tagloom.rpc.server import Server
from tagloom.rpc.service import Register
from tagloom.rpc.settings import Settings

__all__ = ["main", "run", "serve", "serve_until_stopped", "settings_options"]

_log = logging.getLogger(__name__)


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command one option for each field of Settings; unset ones come as None."""
    for spec in reversed(dataclasses.fields(Settings)):
        if spec.name == "token":
            continue  # the command line is visible to every user of the machine
        flag = f"--{spec.name.replace('_', '-')}"
        kind = type(spec.default)
        declaration = f"{flag}/--no-{flag[2:]}" if kind is bool else flag
        shown = f" [default: {spec.default}]" if kind is not bool and spec.default != "" else ""
        command = click.option(
            declaration,
            spec.name,
            type=kind,
            default=None,
            help=f"{spec.metadata['help']}{shown}",
        )(command)
    return command


def main(services: Mapping[str, Register], arguments: list[str] | None = None) -> None:
    """The program `python -m services.<name>.server`: parse flags, serve, exit."""

    @click.command(help=f"Serve {', '.join(services)} over gRPC. Flags win over TAGLOOM_….")
    @settings_options
    def command(**given: object) -> None:
        sys.exit(run(services, given))

    command(arguments)


def run(services: Mapping[str, Register], given: Mapping[str, object]) -> int:
    """Serve until SIGTERM or SIGINT; 0 after a drain, 1 with one sentence when it cannot start."""
    try:
        serve_until_stopped(services, given)
    except TagloomError as error:
        print(f"{error.message} [{error.reason}]", file=sys.stderr)
        return 1
    return 0


def serve_until_stopped(
    services: Mapping[str, Register],
    given: Mapping[str, object],
    on_start: Callable[[Server, Settings], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain; `on_start` hears when it listens.

    Raises TagloomError when it cannot start.
    """
    settings = Settings.from_environment(given=given)
    configure_logging(settings.log_format, settings.log_level)
    asyncio.run(serve(services, settings, on_start))


async def serve(
    services: Mapping[str, Register],
    settings: Settings,
    on_start: Callable[[Server, Settings], None] | None = None,
) -> None:
    """Run a server in this loop until SIGTERM or SIGINT, then drain it. A second signal cuts
    the drain short."""
    server = Server(services, settings)
    await server.start()
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    if on_start is not None:
        on_start(server, settings)
    await asked.wait()
    _log.info("draining")
    asked.clear()
    stopping = asyncio.create_task(server.stop())
    again = asyncio.create_task(asked.wait())
    await asyncio.wait({stopping, again}, return_when=asyncio.FIRST_COMPLETED)
    if not stopping.done():
        stopping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await stopping
        await server.stop(grace_s=0)
    again.cancel()
    _log.info("stopped")
