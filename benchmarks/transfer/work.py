"""One run in a process of its own: `python -m benchmarks.transfer.work STORE source|CELL`.

Trains with one thread, scores every snapshot and writes the cell's result. Killed, or ended by
SIGTERM (exit code 75), it goes on where it was when it is started again.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks.transfer.cells import CELLS, SOURCE_RUN, Cell, options, source_options
from services.evaluator.evaluate import evaluate_run
from services.evaluator.requests import EvaluationRequest
from services.trainer import records
from services.trainer.loop import Interrupted, train
from services.trainer.options import RequestedOptions, plan_run
from tagloom.artifacts import layout
from tagloom.artifacts.evaluation import Evaluation
from tagloom.lifeline import die_with_parent
from tagloom.networks.catalog import open_network
from tagloom.progress import silent
from tagloom.store import Store, open_store

SAMPLES = 500
FEATURES = "efficientnet_lite0_early"
EXIT_INTERRUPTED = 75


def main() -> int:
    """0: finished, and the result is written; 75: interrupted and saved."""
    die_with_parent()
    stopping = False

    def stop(signum: int, frame: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    torch.set_num_threads(1)
    store, name = open_store(sys.argv[1]), sys.argv[2]
    cell = next((cell for cell in CELLS if cell.name == name), None)
    try:
        if cell is None:
            _train(store, SOURCE_RUN, "", source_options(), lambda: stopping)
        else:
            _train(store, cell.name, cell.network, options(cell), lambda: stopping)
            evaluation = _score(store, cell)
            _write(cell.file, _result(store, cell, evaluation))
    except Interrupted:
        return EXIT_INTERRUPTED
    return 0


def _train(store: Store, run_id: str, start: str, requested: RequestedOptions, stop: Any) -> None:
    dataset = "datasets/source" if run_id == SOURCE_RUN else "datasets/target"
    if not store.exists(layout.run_document(run_id)):
        run = plan_run(store, run_id, dataset, start, requested)
        run.create(store, layout.run_document(run_id), f"runs/{run_id}")
    train(store, run_id, silent, stop=stop)


def _score(store: Store, cell: Cell) -> Evaluation:
    request = EvaluationRequest(
        cell.name,
        f"runs/{cell.name}",
        metrics=("frechet", "kernel", "precision", "recall"),
        samples=SAMPLES,
        features=FEATURES,
    )
    return evaluate_run(store, request, silent)


def _result(store: Store, cell: Cell, evaluation: Evaluation) -> dict[str, Any]:
    run = records.read_run(store, cell.name)
    progress = records.read_progress(store, cell.name)
    start = open_network(store, cell.network).network.weights_sha256 if cell.network else ""
    return {
        "cell": cell.name,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, one thread of {os.cpu_count()} cores",
        "torch": torch.__version__,
        "seconds": round(progress.seconds if progress else 0.0),
        "attempts": run.attempts,
        "start_sha256": start,
        "dataset_sha256": run.dataset_sha256,
        "options": run.options.model_dump(mode="json"),
        "features": evaluation.features.model_dump(mode="json"),
        "real": evaluation.snapshots[0].real,
        "generated": SAMPLES,
        "scores": [
            {
                "kimg": snapshot.kimg,
                **{
                    score.metric.removesuffix(f"_{FEATURES}"): [score.value, score.low, score.high]
                    for score in snapshot.scores
                },
            }
            for snapshot in evaluation.snapshots
        ],
        "ticks": [
            {
                name: None if (value := getattr(tick, name)) is None else round(value, 4)
                for name in ("kimg", "augment_p", "real_score", "fake_score", "real_sign")
            }
            for tick in records.read_ticks(store, cell.name)
        ],
    }


def _write(file: Path, result: dict[str, Any]) -> None:
    """Whole or not at all; a tick and a snapshot a line, for whoever reads the differences."""
    file.parent.mkdir(exist_ok=True)
    draft = file.with_suffix(f".{time.time_ns()}.draft")
    parts = []
    for key, value in result.items():
        if isinstance(value, list):
            rows = ",\n  ".join(json.dumps(row) for row in value)
            parts.append(f" {json.dumps(key)}: [\n  {rows}\n ]")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value)}")
    draft.write_text("{\n" + ",\n".join(parts) + "\n}\n")
    draft.replace(file)


if __name__ == "__main__":
    sys.exit(main())
