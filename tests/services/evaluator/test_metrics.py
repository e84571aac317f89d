"""Finished evaluations are counted by what came of them."""

from __future__ import annotations

from datetime import UTC, datetime

from prometheus_client import CollectorRegistry

from services.evaluator.metrics import EvaluatorMetrics
from tagloom.artifacts.evaluation import Evaluation, Features, Gate, SnapshotScore


def evaluation(snapshots: int, *, passed: bool) -> Evaluation:
    return Evaluation(
        id="e",
        create_time=datetime(2026, 11, 22, tzinfo=UTC),
        run="runs/r",
        dataset="datasets/d",
        held_out=True,
        features=Features(
            extractor="efficientnet_lite0", version="1", weights_sha256="0" * 64, dimensions=9
        ),
        snapshots=(SnapshotScore(scores=(), real=1, generated=1, seconds=1),) * snapshots,
        gate=Gate(passed=passed, sentence="It is so."),
        best_snapshot="",
    )


def test_evaluations_are_counted_by_their_gate() -> None:
    registry = CollectorRegistry()
    metrics = EvaluatorMetrics(registry)

    def gates(outcome: str) -> float | None:
        return registry.get_sample_value("tagloom_evaluator_gates_total", {"outcome": outcome})

    assert (gates("passed"), gates("failed")) == (0, 0)
    metrics.finished(evaluation(3, passed=True))
    metrics.finished(evaluation(2, passed=False))
    assert (gates("passed"), gates("failed")) == (1, 1)
    assert registry.get_sample_value("tagloom_evaluator_snapshots_total") == 5
