"""What every command shares: its options, its way to the services, its errors and exit codes.

Exit codes: 0 done, 1 failed (one sentence with the reason on stderr), 2 wrong use, 130 interrupted.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import click
from click.core import ParameterSource

from tagloom.compute import COMPUTE_ENVIRONMENT
from tagloom.errors import InvalidArgument, TagloomError

if TYPE_CHECKING:
    from tagloom.client import Clients
    from tagloom.store import Store

__all__ = ["DEFAULT_STORE", "Session", "command_options", "common_options", "prepare_workers"]

DEFAULT_STORE = "./tagloom-data"
_TOO_LARGE = "Value out of range: "
"""what protobuf says of a number that its field cannot hold"""
P = ParamSpec("P")


class Session:
    """One invocation: where the services are, and how to answer."""

    def __init__(self, target: str, store: str, as_json: bool) -> None:
        self.target = target
        self.store_url = store
        self.as_json = as_json

    @contextmanager
    def clients(self, *services: str, works: bool = True) -> Iterator[Clients]:
        """Clients for the target; without one, for a stack inside this process.

        `services` are those that the command needs (none: all that are installed): no other is
        started. A command that only reads says `works=False`: else its stack would take up the
        unfinished work that it finds in the store, for the moment that it lives.
        """
        from tagloom.client import connect

        if self.target:
            with connect(self.target) as clients:
                yield clients
            return
        from tagloom.client import in_process
        from tagloom.rpc.logs import configure_logging
        from tagloom.rpc.settings import Settings

        prepare_workers()
        # For the workers too: whoever types a command reads sentences, not JSON.
        log = {
            "log_format": "text",
            "log_level": os.environ.get("TAGLOOM_LOG_LEVEL", "ERROR").upper(),
        }
        given = {"store": self.store_url, "metrics_address": "", "run_operations": works, **log}
        settings = Settings.from_environment(given=given)
        configure_logging(settings.log_format, settings.log_level)
        with in_process(settings, only=services) as clients:
            yield clients

    def store(self) -> Store:
        """The store itself, for what no service keeps (experiments)."""
        from tagloom.store import open_store

        return open_store(self.store_url)

    @property
    def store_options(self) -> str:
        """What to add to a printed command so that it finds the same things; often nothing."""
        if self.target:
            return (
                ""
                if os.environ.get("TAGLOOM_TARGET") == self.target
                else (f" --target {self.target}")
            )
        if self.store_url in (DEFAULT_STORE, os.environ.get("TAGLOOM_STORE")):
            return ""
        return f" --store {self.store_url}"

    def answer(self, document: Any, text: str) -> None:
        """Prints the result: `document` as JSON with --json, else `text`."""
        if self.as_json:
            import json

            text = json.dumps(document, indent=2, ensure_ascii=False)
        if text:
            click.echo(text)


def common_options(function: Callable[..., None]) -> Callable[..., None]:
    """--target, --store and --json: understood before a command's name and after it."""
    options = (
        click.option(
            "--target",
            envvar="TAGLOOM_TARGET",
            metavar="ADDRESS",
            help="Address of the services, or a template with {service}; else they start in here.",
        ),
        click.option(
            "--store",
            envvar="TAGLOOM_STORE",
            metavar="URL",
            help="Store of the services started in here: a folder, or s3://bucket "
            f"[default: {DEFAULT_STORE}].",
        ),
        click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def command_options(
    function: Callable[Concatenate[Session, P], None],
) -> Callable[..., None]:
    """Gives a command --target, --store and --json, and its errors their exit code."""

    @common_options
    @functools.wraps(function)
    def wrapper(
        target: str | None,
        store: str | None,
        as_json: bool,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        context = click.get_current_context()
        before: dict[str, Any] = context.find_root().params

        def chosen(name: str, value: str | None) -> str | None:
            # Said here, else said before the command's name, else the environment's (in both).
            here = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
            return value if here else before.get(name) or value

        session = Session(
            chosen("target", target) or "",
            chosen("store", store) or DEFAULT_STORE,
            as_json or bool(before.get("as_json")),
        )
        if threading.current_thread() is threading.main_thread():
            # Ask politely, and it ends as with Ctrl-C: the services drain, work is handed back.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            function(session, *args, **kwargs)
        except TagloomError as error:
            _fail(session, error)
        except ValueError as error:
            if not str(error).startswith(_TOO_LARGE):
                raise
            _fail(session, _too_large(str(error)))
        except KeyboardInterrupt:
            click.echo(
                "Stopped waiting. What the server accepted goes on there; `tagloom operations list`"
                " shows it."
                if session.target
                else "Stopped. What was durable stays; the same command continues.",
                err=True,
            )
            sys.exit(130)

    return wrapper


def prepare_workers() -> None:
    """Sets what processes that compute need before they start: they inherit it from this one."""
    for name, value in COMPUTE_ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def _too_large(said: str) -> InvalidArgument:
    number = said.removeprefix(_TOO_LARGE)[:60]
    return InvalidArgument(
        f"The number {number} is beyond what can be meant; choose one nearer to zero.",
        reason="NUMBER_OUT_OF_RANGE",
        value=number,
    )


def _fail(session: Session, error: TagloomError) -> None:
    """One sentence for people on stderr; with --json the whole error on stdout too."""
    from tagloom.cli.output import printable

    click.echo(f"{printable(error.message)} [{error.reason}]", err=True)
    if session.as_json:
        document = {
            "error": {
                "kind": type(error).__name__,
                "reason": error.reason,
                "message": error.message,
                "metadata": error.metadata,
            }
        }
        session.answer(document, "")
    sys.exit(1)
