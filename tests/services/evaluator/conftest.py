"""A real dataset, a real run with snapshots, and the golden numbers."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from tagloom.artifacts import layout
from tagloom.artifacts.dataset import Crop, Dataset
from tagloom.artifacts.run import Run, Snapshot, TrainingOptions
from tagloom.networks.build import build_generator
from tagloom.networks.weights import save_weights
from tagloom.store import Store, open_store

TIME = datetime(2026, 11, 22, tzinfo=UTC)
SIDE = 32


class Make:
    """Real things for tests: photos, datasets, generators, runs."""

    @staticmethod
    def tiles(count: int, *, seed: int, side: int = SIDE) -> list[np.ndarray]:
        """Square pieces of real photos, uint8 [side, side, 3]."""
        photos = [data.chelsea(), data.coffee()]
        random = np.random.default_rng(seed)
        tiles = []
        for index in range(count):
            photo = photos[index % len(photos)]
            top = random.integers(photo.shape[0] - 4 * side)
            left = random.integers(photo.shape[1] - 4 * side)
            piece = Image.fromarray(photo[top : top + 4 * side, left : left + 4 * side])
            tiles.append(np.asarray(piece.resize((side, side), Image.Resampling.LANCZOS)))
        return tiles

    @staticmethod
    def png(image: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        return buffer.getvalue()

    @staticmethod
    def zip(images: list[np.ndarray], labels: list[int] | None = None) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for index, image in enumerate(images):
                archive.writestr(f"00000/img{index:08d}.png", Make.png(image))
            names = archive.namelist()
            rows = None if labels is None else list(zip(names, labels, strict=True))
            archive.writestr("dataset.json", json.dumps({"labels": rows}))
        return buffer.getvalue()

    @staticmethod
    def dataset(
        store: Store,
        dataset_id: str,
        train: int,
        held_out: int,
        labels: list[int] | None = None,
    ) -> Dataset:
        train_zip = Make.zip(Make.tiles(train, seed=1), labels)
        held_out_zip = Make.zip(Make.tiles(held_out, seed=2)) if held_out else b""
        store.put(layout.dataset_images(dataset_id), train_zip)
        if held_out:
            store.put(layout.dataset_held_out(dataset_id), held_out_zip)
        dataset = Dataset(
            id=dataset_id,
            create_time=TIME,
            collection="collections/photos",
            collection_sha256="0" * 64,
            resolution=256,
            crop=Crop(mode="tiles", tile_size=128, output_size=SIDE),
            resize_filter="lanczos",
            thresholds=(),
            check_versions={},
            judged=2,
            kept=2,
            rejected=0,
            train=train,
            held_out=held_out,
            held_out_ratio=0.2,
            seed=0,
            content_sha256=hashlib.sha256(train_zip).hexdigest(),
            held_out_sha256=hashlib.sha256(held_out_zip).hexdigest() if held_out else "",
        )
        dataset.create(store, layout.dataset_manifest(dataset_id), f"datasets/{dataset_id}")
        return dataset

    @staticmethod
    def generator(seed: int, c_dim: int = 0) -> torch.nn.Module:
        torch.manual_seed(seed)
        return build_generator(
            "stylegan2",
            resolution=SIDE,
            z_dim=16,
            w_dim=16,
            channel_base=256,
            channel_max=8,
            mapping_layers=1,
            c_dim=c_dim,
        ).eval()

    @staticmethod
    def run(
        store: Store,
        run_id: str,
        dataset: Dataset,
        generators: Mapping[float, torch.nn.Module],
        folder: Path,
        conditional: bool = False,
    ) -> Run:
        options = TrainingOptions(
            config="stylegan2",
            kimg=2,
            batch=16,
            r1_gamma=1,
            g_learning_rate=0.002,
            d_learning_rate=0.002,
            augment="ada",
            ada_target=0.6,
            ada_kimg=100,
            augment_p=0,
            ema_kimg=0.5,
            ema_rampup=None,
            mirror=False,
            seed=0,
            channel_base=256,
            channel_max=8,
            latent_size=16,
            mapping_layers=1,
            snapshot_kimg=1,
            tick_kimg=1,
            samples=16,
            conditional=conditional,
        )
        description: dict[str, Any] = {}
        for kimg, generator in generators.items():
            description = generator.spec.to_json()
            Make.snapshot(store, run_id, kimg, generator, folder)
        run = Run(
            id=run_id,
            create_time=TIME,
            update_time=TIME,
            state="succeeded",
            dataset=f"datasets/{dataset.id}",
            dataset_sha256=dataset.content_sha256,
            options=options,
            resolution=SIDE,
            generator=description,
            discriminator={},
        )
        run.create(store, layout.run_document(run_id), f"runs/{run_id}")
        return run

    @staticmethod
    def snapshot(
        store: Store, run_id: str, kimg: float, generator: torch.nn.Module, folder: Path
    ) -> None:
        snapshot_id = layout.snapshot_id(kimg)
        path = folder / "weights.safetensors"
        save_weights(path, {"G_ema": generator})
        store.put_file(layout.snapshot_weights(run_id, snapshot_id), path)
        Snapshot(
            run=f"runs/{run_id}",
            id=snapshot_id,
            create_time=TIME,
            kimg=kimg,
            architecture="stylegan2",
            resolution=SIDE,
            generator=generator.spec.to_json(),
            discriminator={},
            weights_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        ).create(store, layout.snapshot_manifest(run_id, snapshot_id), f"runs/{run_id}")


@pytest.fixture(scope="session")
def make() -> type[Make]:
    return Make


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))
