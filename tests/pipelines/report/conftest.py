"""Materials of a small report, as the services' messages."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from PIL import Image

from pipelines.report.gather import Materials, RunMaterials
from pipelines.spec import parse_experiment
from tagloom.v1 import evaluator_pb2, filter_pb2, scraper_pb2, trainer_pb2

EVIL = "<script>alert(1)</script>&\"'.png"
KEPT, REJECTED, DAMAGED = "a" * 64, "b" * 64, "c" * 64


def encoded(kind: str, colour: tuple[int, int, int], side: int = 16) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, kind)
    return buffer.getvalue()


def score(metric: str, value: float, half: float = 0.0) -> evaluator_pb2.Score:
    return evaluator_pb2.Score(metric=metric, value=value, low=value - half, high=value + half)


def run_materials(label: str, *, passed: bool = True, scale: float = 1.0) -> RunMaterials:
    run = trainer_pb2.Run(
        name=f"runs/{label.replace(', ', '-')}",
        start="networks/photos-32",
        resolution=16,
        images_seen=2000,
        steps=125,
        seconds=63.0,
        g_parameter_change=0.1234,
        attempts=2,
        options=trainer_pb2.TrainingOptions(batch=16, kimg=2, ada_target=0.6, ema_kimg=0.5),
    )
    snapshots = [
        evaluator_pb2.SnapshotScore(
            snapshot=f"{run.name}/snapshots/{kimg:010.3f}",
            kimg=kimg,
            real_count=20,
            generated_count=100,
            seconds=1,
            scores=[
                score("frechet_efficientnet_lite0", 90 - kimg * scale),
                score("kernel_efficientnet_lite0", 1 - 0.3 * kimg * scale, 0.05),
            ],
        )
        for kimg in (0, 1, 2)
    ]
    png = encoded("PNG", (9, 99, 199))
    return RunMaterials(
        label=label,
        run=run,
        ticks=[trainer_pb2.Tick(kimg=k / 10, augment_p=k / 100) for k in range(1, 21)],
        evaluation=evaluator_pb2.Evaluation(
            name="evaluations/e",
            run=run.name,
            held_out=True,
            features=evaluator_pb2.Features(extractor="efficientnet_lite0", dimensions=1280),
            snapshots=snapshots,
            gate=evaluator_pb2.Gate(passed=passed, sentence=f"The gate's sentence of {label}."),
            best_snapshot=snapshots[-1].snapshot,
        ),
        samples={item.snapshot: [png] * 3 for item in snapshots},
        best_samples=[png] * 4,
        walk=[png] * 6,
    )


def verdict(sha256: str, source: str, *, kept: bool) -> filter_pb2.Verdict:
    result = filter_pb2.CheckResult(
        check="faces", score=1.5, threshold=0.5, unit="confidence", passed=kept, detail="A face."
    )
    return filter_pb2.Verdict(
        sha256=sha256,
        source=source,
        kept=kept,
        failed_checks=[] if kept else ["faces"],
        results=[result],
        width=300,
        height=200,
        tile_count=12 if kept else 0,
    )


@pytest.fixture
def materials() -> Callable[..., Materials]:
    """Makes materials with the given runs (one that passed by default)."""

    def make(*runs: RunMaterials) -> Materials:
        return Materials(
            spec=parse_experiment(
                "experiment: cats\ntitle: Cats & <others>\ncollect: {folder: p}\n"
                "filter: {resolution: 256, output_size: 16}\ntrain: {kimg: 2}\n"
                "credits: [{files: '*', by: '<b>Ann</b>', license: CC0}]\n",
                "x.yaml",
            ),
            made=datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
            collection=scraper_pb2.Collection(
                name="collections/c",
                folder=scraper_pb2.FolderSource(path="/photos"),
                item_count=5,
                stored_count=3,
                duplicate_count=1,
                refused_count=1,
            ),
            items=[
                scraper_pb2.Item(state=scraper_pb2.Item.STATE_STORED, source="a.png"),
                scraper_pb2.Item(state=scraper_pb2.Item.STATE_DUPLICATE, source="again.png"),
                scraper_pb2.Item(
                    state=scraper_pb2.Item.STATE_REFUSED, source=EVIL, detail="Not an image."
                ),
            ],
            dataset=filter_pb2.Dataset(
                name="datasets/d",
                resolution=256,
                crop=filter_pb2.Crop(mode=filter_pb2.Crop.MODE_TILES, tile_size=64, output_size=16),
                judged_count=3,
                kept_count=1,
                rejected_count=2,
                train_count=9,
                held_out_count=3,
            ),
            verdicts=[
                verdict(KEPT, "deep/kept.png", kept=True),
                verdict(REJECTED, EVIL, kept=False),
                verdict(DAMAGED, "damaged.jpg", kept=False),
            ],
            previews={
                KEPT: encoded("JPEG", (0, 200, 0)),
                REJECTED: encoded("JPEG", (200, 0, 0)),
            },
            runs=list(runs) or [run_materials("photos-32, ada")],
            durations={"collections/c": 1.5, "datasets/d": 61.0},
        )

    return make
