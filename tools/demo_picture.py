"""Makes `docs/pictures/demo.png` from the store of a finished `make demo`.

    python tools/demo_picture.py [--store tagloom-data] [--experiment quickstart]

Four panels: squares that were trained on, and what the network made of the same 16 seeds before,
during and after.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from services.evaluator.requests import generators_of
from services.trainer import records
from tagloom.artifacts import layout
from tagloom.artifacts.run import Run
from tagloom.store import open_store
from tagloom.store.interface import Store

ROOT = Path(__file__).resolve().parent.parent
SIDE, GAP, TEXT = 256, 20, 34
ROWS = 4


def main() -> None:
    """Writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--store", default=str(ROOT / "tagloom-data"))
    parser.add_argument("--experiment", default="quickstart")
    given = parser.parse_args()
    store = open_store(given.store)
    run = next(
        records.read_run(store, run_id)
        for run_id in records.run_ids(store)
        if run_id.startswith(f"{given.experiment}-")
    )
    panels = [("squares of the four photos", squares(store, run))]
    candidates = generators_of(store, run)
    for candidate in (candidates[0], candidates[2], candidates[-1]):
        key = layout.snapshot_samples(run.id, layout.snapshot_id(candidate.kimg))
        picture = Image.open(io.BytesIO(store.get(key))).convert("RGB")
        kimg = f"{round(candidate.kimg)} kimg"
        title = f"after {kimg}" if candidate.kimg else f"start network ({kimg})"
        panels.append((title, picture))

    sheet = Image.new("RGB", (len(panels) * (SIDE + GAP) + GAP, SIDE + GAP + TEXT + 10), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(15)
    for index, (title, picture) in enumerate(panels):
        left = GAP + index * (SIDE + GAP)
        sheet.paste(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC), (left, GAP))
        draw.text((left, GAP + SIDE + 8), title, fill="#222", font=font)
    sheet.save(ROOT / "docs" / "pictures" / "demo.png", optimize=True)


def squares(store: Store, run: Run) -> Image.Image:
    """Sixteen training squares, evenly spread over the dataset."""
    (dataset_id,) = layout.parse_name(run.dataset, "datasets/{}")
    with zipfile.ZipFile(io.BytesIO(store.get(layout.dataset_images(dataset_id)))) as images:
        names = sorted(name for name in images.namelist() if name.endswith(".png"))
        chosen = [names[int(i)] for i in np.linspace(0, len(names) - 1, ROWS * ROWS)]
        side = run.resolution
        grid = Image.new("RGB", (ROWS * side, ROWS * side))
        for index, name in enumerate(chosen):
            square = Image.open(io.BytesIO(images.read(name))).convert("RGB")
            grid.paste(square, (index % ROWS * side, index // ROWS * side))
    return grid


if __name__ == "__main__":
    main()
