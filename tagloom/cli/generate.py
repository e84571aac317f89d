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
"""images asked for in one call: its deadline must suffice on a slow machine"""


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


class Shift(click.ParamType[tuple[float, float]]):
    """`0.1,-0.25`."""

    name = "shift"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        if isinstance(value, tuple):
            return value
        try:
            x, y = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a shift; write two numbers, as 0.1,-0.25.", param, ctx)
        return x, y


@click.command("generate")
@click.option(
    "--network", required=True, metavar="NAME", help="networks/ID or runs/ID/snapshots/KIMG."
)
@click.option("--seeds", required=True, type=Seeds(), metavar="SEEDS", help="0-31, or 1,5,8.")
@click.option(
    "--truncation", type=float, help="Truncation psi: 1 is none, 0 the average image [default: 1]."
)
@click.option(
    "--truncation-cutoff", type=click.IntRange(0), help="Truncate the first N layers only."
)
@click.option(
    "--class",
    "class_label",
    type=click.IntRange(0),
    help="Class of a network with labels [default: seed modulo the number of classes].",
)
@click.option(
    "--noise",
    type=click.Choice(["const", "none", "random"]),
    help="StyleGAN2: the noise of its layers; random: drawn by the seed [default: const].",
)
@click.option(
    "--translate",
    type=Shift(),
    metavar="X,Y",
    help="StyleGAN3: move the picture right and down, in shares of its size.",
)
@click.option("--rotate", type=float, metavar="DEG", help="StyleGAN3: turn it anticlockwise.")
@click.option(
    "--mix-seeds",
    type=Seeds(),
    metavar="SEEDS",
    help="Style mixing: each seed with each of these, files seed0000-0007.png.",
)
@click.option(
    "--mix-layers",
    type=Seeds(),
    metavar="LAYERS",
    help="Layers that take the style of --mix-seeds, from 0 [default: 0-6].",
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
    truncation_cutoff: int | None,
    class_label: int | None,
    noise: str | None,
    translate: tuple[float, float] | None,
    rotate: float | None,
    mix_seeds: Sequence[int] | None,
    mix_layers: Sequence[int] | None,
    out: Path,
    file_format: str,
    overwrite: bool,
) -> None:
    """Make one image per seed, OUT/seed0000.png and so on; with --mix-seeds one per pair.

    \b
    tagloom generate --network networks/photos-32 --seeds 0-15 --out pictures
    """
    from tagloom.v1 import generator_pb2

    if mix_layers is not None and mix_seeds is None:
        raise click.UsageError("--mix-layers needs --mix-seeds.")
    rendering = generator_pb2.Rendering(
        truncation_cutoff=truncation_cutoff,
        class_label=class_label,
        noise_mode=f"NOISE_MODE_{noise.upper()}" if noise else None,
        translate_x=translate[0] if translate else 0.0,
        translate_y=translate[1] if translate else 0.0,
        rotate_degrees=rotate or 0.0,
    )
    mixing = None
    if mix_seeds is not None:
        layers = mix_layers if mix_layers is not None else range(7)
        mixing = generator_pb2.StyleMixing(seeds=mix_seeds, layers=layers)
    each = len(mix_seeds) if mix_seeds else 1
    at_once = max(_REQUEST // each, 1)
    name = network if "/" in network else f"networks/{network}"
    formats = {"png": generator_pb2.IMAGE_FORMAT_PNG, "npy": generator_pb2.IMAGE_FORMAT_NPY}
    digits = max(4, len(str(max([*seeds, *(mix_seeds or ())]))))
    written: list[str] = []
    with session.clients("generator", works=False) as clients, Bars() as bars:
        for begin in range(0, len(seeds), at_once):
            request = generator_pb2.GenerateImagesRequest(
                network=name,
                seeds=seeds[begin : begin + at_once],
                format=formats[file_format],
                rendering=rendering,
                mixing=mixing,
            )
            if truncation is not None:
                request.truncation_psi = truncation
            for response in clients.generator.GenerateImages(request, timeout=600):
                pair = f"-{response.mixed_seed:0{digits}}" if mixing else ""
                path = out / f"seed{response.seed:0{digits}}{pair}.{file_format}"
                write_new(path, response.image, overwrite=overwrite)
                written.append(str(path))
                bars.show("generate", "", len(written), len(seeds) * each, None, path.name)
        bars.end("generate", f"{len(written)} images")
    session.answer(
        {"network": name, "seeds": list(seeds), "files": written},
        f"{len(written)} images of {name} in {out}",
    )
