"""A dataset and a run so small that they train in about a second."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.dataset import Crop, Dataset
from tagloom.store import Store

__all__ = ["TINY", "write_dataset"]

TINY: dict[str, Any] = {
    "config": "stylegan2",
    "kimg": 0.064,
    "batch": 4,
    "channel_base": 128,
    "channel_max": 8,
    "latent_size": 8,
    "mapping_layers": 2,
    "ada_kimg": 0.1,
    "ema_kimg": 0.02,
    "tick_kimg": 0.016,
    "snapshot_kimg": 0.032,
    "samples": 4,
}
"""Training options, by the names of `RequestedOptions` and of trainer.proto."""


def write_dataset(
    store: Store,
    dataset_id: str = "d",
    *,
    images: int = 12,
    side: int = 16,
    seed: int = 0,
    held_out: int = 0,
    labels: Sequence[Any] | None = None,
    held_out_labels: Sequence[Any] | None = None,
) -> Dataset:
    """A dataset of soft coloured noise, as the filter would write it.

    labels: for each image, as dataset.json has them.
    """
    random = np.random.RandomState(seed)
    data = _archive(random, images, side, labels)
    store.put(layout.dataset_images(dataset_id), data)
    kept_away = _archive(random, held_out, side, held_out_labels) if held_out else b""
    if held_out:
        store.put(layout.dataset_held_out(dataset_id), kept_away)
    dataset = Dataset(
        id=dataset_id,
        create_time=now(),
        collection="collections/c",
        collection_sha256="0" * 64,
        resolution=side,
        crop=Crop(output_size=side),
        resize_filter="bicubic",
        thresholds=(),
        check_versions={},
        judged=images + held_out,
        kept=images + held_out,
        rejected=0,
        train=images,
        held_out=held_out,
        held_out_ratio=held_out / (images + held_out),
        seed=0,
        content_sha256=hashlib.sha256(data).hexdigest(),
        held_out_sha256=hashlib.sha256(kept_away).hexdigest() if held_out else "",
    )
    dataset.create(store, layout.dataset_manifest(dataset_id), f"datasets/{dataset_id}")
    return dataset


def _archive(
    random: np.random.RandomState, images: int, side: int, labels: Sequence[Any] | None
) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for index in range(images):
            small = random.randint(0, 256, (4, 4, 3), dtype=np.uint8)
            png = io.BytesIO()
            Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(png, "PNG")
            file.writestr(f"00000/img{index:08d}.png", png.getvalue())
        rows = None
        if labels is not None:
            names = [name for name in file.namelist() if name.endswith(".png")]
            rows = [[name, label] for name, label in zip(names, labels, strict=False)]
        file.writestr("dataset.json", json.dumps({"labels": rows}))
    return archive.getvalue()
