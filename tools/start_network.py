"""Trains the packaged start network, `networks/photos-32`.

    python tools/start_network.py [--work build/start-network] [--threads 2]

Collects the source photos (`tools/photos.py`), filters and tiles them, trains StyleGAN3-T at 32 px
from scratch, scores the snapshots, and writes G_ema and D of the last one to
`tagloom/networks/builtin/photos-32/`, its curve and samples to `docs/start-network/`. It calls the
services' own functions on a local folder, in this one process. Killed and started again, it goes on
where it was: the run continues from its last durable state.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from pipelines.report.charts import Chart, Point, Series
from pipelines.report.render import chart_svg
from services.evaluator.evaluate import evaluate_run
from services.evaluator.requests import EvaluationRequest
from services.filter.build import build_dataset
from services.filter.request import BuildRequest
from services.scraper.collect import CollectRequest, collect
from services.trainer import records
from services.trainer.loop import train
from services.trainer.options import RequestedOptions, plan_run
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.collection import FolderSource
from tagloom.artifacts.dataset import Crop
from tagloom.artifacts.evaluation import Evaluation
from tagloom.artifacts.network import Network
from tagloom.artifacts.run import Snapshot
from tagloom.networks.catalog import open_network
from tagloom.networks.weights import save_weights
from tagloom.progress import Wait
from tagloom.store import open_store
from tagloom.store.interface import Store
from tools.photos import SOURCE, copy_photos

ROOT = Path(__file__).resolve().parent.parent
BUILTIN = ROOT / "tagloom" / "networks" / "builtin" / "photos-32"
DOCS = ROOT / "docs" / "start-network"
FEATURES = "efficientnet_lite0_early"
X_LABEL = "kimg, thousands of images seen"
SIZE_LIMIT = 4_000_000
"""bytes: the weights travel in every wheel"""

OPTIONS = RequestedOptions(
    config="stylegan3-t",
    kimg=60,
    batch=16,
    # Small enough for a wheel and for two cores. Official networks have 14 layers, enough for
    # 1,024 px, and 10 px of margin; 8 and 6 are enough for 32 px and halve the time of a step.
    channel_base=1024,
    channel_max=32,
    latent_size=128,
    num_layers=8,
    margin_size=6,
    # Networks of this size bear twice the official rates, which large ones need.
    g_learning_rate=0.005,
    d_learning_rate=0.004,
    r1_gamma=0.05,
    ema_kimg=2,
    ada_kimg=50,
    mirror=True,
    snapshot_kimg=5,
    tick_kimg=0.5,
)


def main() -> None:
    """Every step; each finds what an earlier start has finished."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "start-network")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    photos = options.work / "photos"
    copy_photos(SOURCE, photos)
    store = open_store(str(options.work / "store"))
    with Progress(
        TextColumn("{task.description:<12}"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[m]}"),
    ) as bars:
        bar = bars.add_task("", m="")

        def report(
            phase: str, done: int, total: int, message: str = "", *, wait: Wait | None = None
        ) -> None:
            bars.update(bar, description=phase, completed=done, total=total or None, m=message)

        collect(store, CollectRequest("source", FolderSource(path=str(photos.resolve()))), report)
        crop = Crop(mode="tiles", tile_size=40, output_size=32)
        build_dataset(
            store, BuildRequest("source", "source", 256, crop, held_out_ratio=0.1), report
        )
        if not store.exists(layout.run_document("source")):
            run = plan_run(store, "source", "datasets/source", "", OPTIONS)
            run.create(store, layout.run_document("source"), "runs/source")
        started = time.monotonic()
        train(store, "source", report)
        evaluate_run(
            store,
            EvaluationRequest("source", "runs/source", samples=300, features=FEATURES),
            report,
        )
    pack(store)
    print(f"{(time.monotonic() - started) / 60:.0f} minutes of training and scoring this time")


def pack(store: Store) -> None:
    """Writes the network and its record from the finished run."""
    run = records.read_run(store, "source")
    snapshot_id = layout.snapshot_id(run.options.kimg)
    name = f"runs/source/snapshots/{snapshot_id}"
    snapshot = Snapshot.load(store, layout.snapshot_manifest("source", snapshot_id), name)
    states = open_network(store, name).load(store, ["G_ema", "D"])

    BUILTIN.mkdir(parents=True, exist_ok=True)
    weights = BUILTIN / "weights.safetensors"
    save_weights(weights, states)
    if weights.stat().st_size > SIZE_LIMIT:
        raise SystemExit(f"{weights} has {weights.stat().st_size} bytes, more than {SIZE_LIMIT}")
    photos = ", ".join(f"{photo.name} ({photo.license})" for photo in SOURCE)
    network = Network(
        id="photos-32",
        create_time=now(),
        architecture=snapshot.architecture,
        resolution=snapshot.resolution,
        generator=snapshot.generator,
        discriminator=snapshot.discriminator,
        kimg=snapshot.kimg,
        origin=f"trained from scratch by tools/start_network.py on tiles of {photos}",
        license="Apache-2.0",
        weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
    )
    (BUILTIN / "manifest.json").write_bytes(network.to_bytes())

    DOCS.mkdir(parents=True, exist_ok=True)
    store.get_file(layout.snapshot_samples("source", snapshot_id), DOCS / "samples.png")
    store.get_file(layout.run_history("source"), DOCS / "history.jsonl")
    store.get_file(layout.evaluation("source"), DOCS / "scores.json")
    (DOCS / "training.svg").write_text(training_curve(DOCS / "history.jsonl"))
    scores = Evaluation.load(store, layout.evaluation("source"), "evaluations/source")
    (DOCS / "scores.svg").write_text(score_curve(scores))
    print(f"packed {snapshot.kimg:g} kimg into {BUILTIN.relative_to(ROOT)}")


def training_curve(history: Path) -> str:
    """What D thought of real and of generated squares, as a picture."""
    ticks = [json.loads(line) for line in history.read_text().splitlines()]
    lines = [
        Series(name.replace("_", " "), colour, [Point(tick["kimg"], tick[name]) for tick in ticks])
        for colour, name in ((1, "real_score"), (2, "fake_score"))
    ]
    return chart_svg(Chart("What D thinks of real and generated squares", X_LABEL, lines))


def score_curve(evaluation: Evaluation) -> str:
    """The kernel distance of every snapshot, as a picture."""
    points = []
    for snapshot in evaluation.snapshots:
        score = next(score for score in snapshot.scores if score.metric.startswith("kernel"))
        points.append(Point(snapshot.kimg, score.value, score.low, score.high))
    line = Series("kernel distance", 1, points, markers=True)
    return chart_svg(Chart("Kernel distance to held-out squares", X_LABEL, [line], zero_based=True))


if __name__ == "__main__":
    main()
