"""`tagloom network`: networks in from a file, and out to one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tagloom.cli.session import DEFAULT_STORE, Session, command_options
from tagloom.errors import FailedPrecondition

__all__ = ["network_command"]


@click.group("network")
def network_command() -> None:
    """Import networks from files, and export them."""


@network_command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--id", "network_id", required=True, metavar="ID", help="Id of the new network.")
@click.option(
    "--license",
    "license_note",
    default="",
    metavar="NOTE",
    help="The licence of the weights, kept with the network.",
)
@command_options
def import_command(session: Session, file: Path, network_id: str, license_note: str) -> None:
    """Import an official .pkl (StyleGAN2-ADA, StyleGAN3), or a .safetensors that export wrote.

    Nothing in the file is ever run: it is read in a confined process, and anything but the numbers
    and settings of a network ends the import.

    \b
    tagloom network import stylegan3-t-ffhq-1024x1024.pkl --id ffhq --license CC-BY-NC-SA-4.0
    """
    from tagloom.networks.importing import import_network

    store = _store(session, "import")
    network = import_network(store, file, network_id, license_note=license_note)
    name = f"networks/{network.id}"
    with_d = "with" if network.discriminator is not None else "without"
    labels = network.generator["c_dim"]
    classes = f", {labels} classes" if labels else ""
    text = (
        f"{name}: {network.architecture}, {network.resolution} px{classes}, {with_d} its "
        f"discriminator, from {network.origin}.\n"
        f"Try it: tagloom generate --network {name} --seeds 0-15 --out pictures"
        f"{session.store_options}"
    )
    session.answer({"name": name, **_document(network)}, text)


@network_command.command("export")
@click.argument("network")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["safetensors", "onnx"]),
    help="Default: by the ending of --out.",
)
@command_options
def export_command(session: Session, network: str, out: Path, file_format: str | None) -> None:
    """Export a network: networks/ID or runs/ID/snapshots/KIMG.

    \b
    safetensors  all weights and their description; `import` reads it back
    onnx         the generator: z, truncation_psi (and class labels c) to images
    """
    chosen = file_format or out.suffix.removeprefix(".")
    if chosen not in ("safetensors", "onnx"):
        raise click.UsageError("Say --format safetensors or onnx, or end --out in one of them.")
    from tagloom.networks.catalog import open_network
    from tagloom.networks.exporting import export_onnx, export_safetensors

    name = network if "/" in network else f"networks/{network}"
    store = _store(session, "export")
    entry = open_network(store, name)
    export = export_onnx if chosen == "onnx" else export_safetensors
    export(store, entry, out)
    size = out.stat().st_size
    session.answer(
        {"name": name, "file": str(out), "format": chosen, "bytes": size},
        f"{name} as {chosen} in {out} ({size / 1e6:.1f} MB).",
    )


def _store(session: Session, verb: str) -> Any:
    """Both commands work on the store itself: a checkpoint is no message."""
    if session.target and session.store_url == DEFAULT_STORE:
        raise FailedPrecondition(
            f"network {verb} works on the services' store, not through --target; name it with "
            "--store.",
            reason="STORE_NOT_NAMED",
        )
    return session.store()


def _document(network: Any) -> dict[str, Any]:
    document: dict[str, Any] = network.model_dump(mode="json", by_alias=True)
    return document
