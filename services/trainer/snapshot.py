"""Snapshots: generators frozen on the way, ready to be used, scored or trained from."""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from services.trainer.session import Session
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.labels import Labels
from tagloom.artifacts.run import Snapshot, TrainingScore
from tagloom.networks.sampling import seed_latent, to_pixels
from tagloom.networks.weights import save_weights
from tagloom.store.interface import PreconditionFailed, Store

__all__ = ["sample_grid", "write_snapshot"]


def write_snapshot(
    store: Store, session: Session, score: Callable[[nn.Module], TrainingScore] | None = None
) -> str:
    """Freezes the run as it is; returns the snapshot's id. Nothing happens if it exists already.

    score: scores its G_ema, where snapshots are to be scored.

    The manifest comes last: without it there is no snapshot.
    """
    run, snapshot = session.run, layout.snapshot_id(session.kimg)
    manifest_key = layout.snapshot_manifest(run.id, snapshot)
    if store.exists(manifest_key):
        return snapshot
    with tempfile.TemporaryDirectory(prefix="tagloom-snapshot-") as folder:
        path = Path(folder, "weights.safetensors")
        save_weights(path, session.networks)
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        store.put_file(layout.snapshot_weights(run.id, snapshot), path)
    samples = sample_grid(
        session.step.G_ema,
        run.options.samples,
        int(run.generator["z_dim"]),
        session.images.labels,
    )
    store.put(layout.snapshot_samples(run.id, snapshot), samples)
    manifest = Snapshot(
        run=f"runs/{run.id}",
        id=snapshot,
        create_time=now(),
        kimg=session.kimg,
        architecture=str(run.generator["architecture"]),
        resolution=run.resolution,
        generator=run.generator,
        discriminator=run.discriminator,
        weights_sha256=digest,
        score=None if score is None else score(session.step.G_ema),
    )
    with contextlib.suppress(PreconditionFailed):  # our own write, whose answer was lost
        store.put(manifest_key, manifest.to_bytes(), if_none_match=True)
    return snapshot


@torch.no_grad()
def sample_grid(G: nn.Module, count: int, z_dim: int, labels: Labels | None = None) -> bytes:
    """A PNG with the images of seeds 0, 1, 2, … row by row, without truncation.

    With labels each has the class that `tagloom generate` would give it: its number, in turn.
    """
    device = next(G.parameters()).device
    tiles = []
    for seed in range(count):  # one by one: what a seed shows depends on nothing else
        c = None if labels is None else torch.from_numpy(labels.in_turn([seed])).to(device)
        images: Tensor = G(seed_latent(seed, z_dim).to(device), c)
        tiles.append(to_pixels(images[0]).permute(1, 2, 0).cpu().numpy())
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    side = tiles[0].shape[0]
    grid = np.zeros((rows * side, columns * side, 3), dtype=np.uint8)
    for index, tile in enumerate(tiles):
        y, x = divmod(index, columns)
        grid[y * side : (y + 1) * side, x * side : (x + 1) * side] = tile
    png = io.BytesIO()
    Image.fromarray(grid).save(png, format="PNG")
    return png.getvalue()
