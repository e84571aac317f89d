"""What is compared: every cell is one run, and a JSON file once it is finished."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from services.trainer.options import RequestedOptions

__all__ = ["CELLS", "RESULTS", "SOURCE_RUN", "Cell", "finished", "options", "source_options"]

RESULTS: Final = Path(__file__).parent / "results"
SOURCE_RUN: Final = "source"
SEEDS: Final = (0, 1, 2)
KIMG: Final = 20
SOURCE_KIMG: Final = 40

Config = Literal["stylegan2", "stylegan3-t"]
Start = Literal["source", "scratch"]
Augment = Literal["ada", "fixed", "none"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One run on the target photos."""

    config: Config
    start: Start
    augment: Augment
    seed: int

    @property
    def arm(self) -> str:
        """What the seeds of one kind of run have in common."""
        return f"{self.config}-{self.start}-{self.augment}"

    @property
    def name(self) -> str:
        """Of the run, and of the file of its result."""
        return f"{self.arm}-{self.seed}"

    @property
    def file(self) -> Path:
        """The committed result."""
        return RESULTS / f"{self.name}.json"

    @property
    def network(self) -> str:
        """Where it starts; StyleGAN3 from the packaged network, whose photos are far away."""
        if self.start == "scratch":
            return ""
        if self.config == "stylegan3-t":
            return "networks/photos-32"
        return f"runs/{SOURCE_RUN}/snapshots/{SOURCE_KIMG:06d}.000"


def _cells() -> tuple[Cell, ...]:
    """By seed, so that a first answer does not wait for the last seed."""
    cells = []
    for seed in SEEDS:
        cells += [
            Cell("stylegan2", "source", "ada", seed),
            Cell("stylegan2", "scratch", "ada", seed),
            Cell("stylegan2", "source", "none", seed),
            Cell("stylegan2", "source", "fixed", seed),
        ]
    for seed in SEEDS:
        cells += [Cell("stylegan3-t", start, "ada", seed) for start in ("source", "scratch")]
    return tuple(cells)


CELLS: Final = _cells()

_BASES: Final[dict[Config, RequestedOptions]] = {
    # 16 channels at 32 px and 32 below: a fraction of the time of 32 channels everywhere.
    "stylegan2": RequestedOptions(
        config="stylegan2", channel_base=512, channel_max=32, latent_size=128
    ),
    # The sizes of networks/photos-32.
    "stylegan3-t": RequestedOptions(
        config="stylegan3-t",
        channel_base=1024,
        channel_max=32,
        latent_size=128,
        num_layers=8,
        margin_size=6,
    ),
}


def options(cell: Cell) -> RequestedOptions:
    """The same for every cell of a configuration, but for what is compared."""
    return dataclasses.replace(
        _BASES[cell.config],
        kimg=KIMG,
        batch=16,
        seed=cell.seed,
        mirror=True,
        r1_gamma=0.05,
        g_learning_rate=0.0025,
        d_learning_rate=0.002,
        ema_kimg=1,
        augment=cell.augment,
        augment_p=0.2 if cell.augment == "fixed" else None,
        # p may rise by 1 within 20 kimg: official runs of thousands of kimg take 500.
        ada_kimg=20 if cell.augment == "ada" else 0,
        snapshot_kimg=2.5,
        tick_kimg=0.5,
    )


def source_options() -> RequestedOptions:
    """The network that the StyleGAN2 cells start from."""
    return dataclasses.replace(
        _BASES["stylegan2"],
        kimg=SOURCE_KIMG,
        batch=16,
        mirror=True,
        r1_gamma=0.05,
        g_learning_rate=0.005,
        d_learning_rate=0.004,
        ema_kimg=2,
        ada_kimg=50,
        snapshot_kimg=SOURCE_KIMG,
        tick_kimg=1,
    )


def finished() -> dict[Cell, dict[str, Any]]:
    """The results that are there."""
    return {cell: json.loads(cell.file.read_text()) for cell in CELLS if cell.file.exists()}
