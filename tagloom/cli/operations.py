"""`tagloom operations`: long work as the services keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tagloom.cli.bars import Bars
from tagloom.cli.session import Session, command_options
from tagloom.errors import FailedPrecondition

if TYPE_CHECKING:
    from google.longrunning import operations_pb2
    from google.protobuf.message import Message

__all__ = ["describe", "operations_command"]

_SERVICES = ("scraper", "filter", "trainer", "evaluator")


@click.group("operations")
def operations_command() -> None:
    """List, wait for and cancel long work."""


@operations_command.command("list")
@click.option("--service", type=click.Choice(_SERVICES), help="Only of this service.")
@click.option("--active", is_flag=True, help="Only what is not done.")
@command_options
def list_command(session: Session, service: str | None, active: bool) -> None:
    """List operations with their state, the oldest first."""
    from tagloom.cli.output import table

    services = [service] if service else list(_SERVICES)
    # Without a target any one service will do: each reads the records of all.
    with session.clients("scraper", works=False) as clients:
        found = [
            describe(operation)
            for each in services
            for operation in clients.list_operations(each, filter="done = false" if active else "")
        ]
    rows = [
        [
            item["name"],
            item["metadata"].get("method", ""),
            item["metadata"].get("target", ""),
            item["state"],
            item["error"]["message"] if "error" in item else item["metadata"]["last_message"],
        ]
        for item in found
    ]
    text = table(("name", "method", "target", "state", ""), rows) if rows else "No operations."
    session.answer(found, text)


@operations_command.command("wait")
@click.argument("name")
@command_options
def wait_command(session: Session, name: str) -> None:
    """Wait until an operation is done; fails as it failed."""
    from tagloom.cli.output import facts, plain

    with session.clients(_service(name)) as clients, Bars() as bars:
        operation = clients.get_operation(name)
        method = _method(operation)
        kind = _response(_service(name), method)
        result = clients.wait(operation, kind, on_progress=bars.follow(method))
    session.answer(plain(result), facts(plain(result)))


@operations_command.command("cancel")
@click.argument("name")
@command_options
def cancel_command(session: Session, name: str) -> None:
    """Ask an operation to stop; what is durable stays."""
    with session.clients(_service(name), works=False) as clients:
        clients.cancel_operation(name)
    session.answer({"cancelled": name}, f"{name} was asked to stop.")


def _response(service: str, method: str) -> type[Message]:
    """What an operation of this method ends with, as its proto says."""
    import importlib

    from google.longrunning import operations_proto_pb2

    module = importlib.import_module(f"tagloom.v1.{service}_pb2")
    for each in module.DESCRIPTOR.services_by_name.values():
        if method in each.methods_by_name:
            options = each.methods_by_name[method].GetOptions()
            info = options.Extensions[operations_proto_pb2.operation_info]
            kind: type[Message] = getattr(module, info.response_type)
            return kind
    raise FailedPrecondition(
        f"This version of tagloom does not know {method}; use the version of the services.",
        reason="METHOD_UNKNOWN",
        method=method,
    )


def describe(operation: operations_pb2.Operation) -> dict[str, Any]:
    """An operation as plain JSON: its metadata unpacked, its error with its reason."""
    from tagloom.cli.output import plain
    from tagloom.rpc.errors import from_status
    from tagloom.v1 import operation_pb2

    metadata = operation_pb2.OperationMetadata()
    operation.metadata.Unpack(metadata)
    document: dict[str, Any] = {
        "name": operation.name,
        "state": "running",
        "done": operation.done,
        "metadata": plain(metadata),
    }
    if operation.HasField("error"):
        error = from_status(operation.error)
        document["state"] = "failed"
        document["error"] = {"reason": error.reason, "message": error.message}
    elif operation.done:
        document["state"] = "succeeded"
    return document


def _method(operation: operations_pb2.Operation) -> str:
    from tagloom.v1 import operation_pb2

    metadata = operation_pb2.OperationMetadata()
    operation.metadata.Unpack(metadata)
    return metadata.method


def _service(name: str) -> str:
    service = name.removeprefix("operations/").partition(".")[0]
    if not name.startswith("operations/") or service not in _SERVICES:
        raise click.UsageError(f"{name!r} does not name an operation: operations/SERVICE.ID.")
    return service
