"""`tagloom generate`: images of a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tagloom.cli.bars import Bars
from tagloom.cli.files import write_new
from tagloom.cli.session import Session, command_options

__all__ = ["generate_command", "parse_seeds"]

_REQUEST = 200
"""seeds asked for in one call: its deadline must suffice on a slow machine"""


class Seeds(click.ParamType[Sequence[int]]):
    """`0-31`, `1,5,8`, `0-3,100-103`."""

    name = "seeds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Sequence[int]:
        if not isinstance(value, str):
            return list(value)
        try:
            return parse_seeds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def parse_seeds(text: str) -> list[int]:
    """The seeds that `text` names, in its order. Raises ValueError with a sentence."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isascii() or not first.isdigit() or (dash and not last.isdigit()):
            raise ValueError(f"{part!r} is not a seed or a range; write 0-31, or 1,5,8.")
        low, high = int(first), int(last) if dash else int(first)
        if high < low or high >= 2**32:
            raise ValueError(f"{part!r} is not a range of seeds from 0 to 4294967295.")
        if len(seeds) + high - low + 1 > 10_000:
            raise ValueError("That is more than 10,000 seeds; ask for them in parts.")
        seeds += range(low, high + 1)
    return seeds


@click.command("generate")
@click.option(
    "--network", required=True, metavar="NAME", help="networks/ID or runs/ID/snapshots/KIMG."
)
@click.option("--seeds", required=True, type=Seeds(), metavar="SEEDS", help="0-31, or 1,5,8.")
@click.option(
    "--truncation", type=float, help="Truncation psi: 1 is none, 0 the average image [default: 1]."
)
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["png", "npy"]),
    default="png",
    show_default=True,
    help="npy: float32, NCHW, about [-1, 1], before rounding.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that differ.")
@command_options
def generate_command(
    session: Session,
    network: str,
    seeds: Sequence[int],
    truncation: float | None,
    out: Path,
    file_format: str,
    overwrite: bool,
) -> None:
    """Make one image per seed, OUT/seed0000.png and so on.

    \b
    tagloom generate --network networks/photos-32 --seeds 0-15 --out pictures
    """
    from tagloom.v1 import generator_pb2

    name = network if "/" in network else f"networks/{network}"
    formats = {"png": generator_pb2.IMAGE_FORMAT_PNG, "npy": generator_pb2.IMAGE_FORMAT_NPY}
    digits = max(4, len(str(max(seeds))))
    written: list[str] = []
    with session.clients("generator", works=False) as clients, Bars() as bars:
        for begin in range(0, len(seeds), _REQUEST):
            request = generator_pb2.GenerateImagesRequest(
                network=name, seeds=seeds[begin : begin + _REQUEST], format=formats[file_format]
            )
            if truncation is not None:
                request.truncation_psi = truncation
            for response in clients.generator.GenerateImages(request, timeout=600):
                path = out / f"seed{response.seed:0{digits}}.{file_format}"
                write_new(path, response.image, overwrite=overwrite)
                written.append(str(path))
                bars.show("generate", "", len(written), len(seeds), None, path.name)
        bars.end("generate", f"{len(written)} images")
    session.answer(
        {"network": name, "seeds": list(seeds), "files": written},
        f"{len(written)} images of {name} in {out}",
    )
