"""Between the messages of evaluator.proto and the domain's own types."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from services.evaluator.requests import ComparisonRequest, EvaluationRequest
from tagloom.artifacts.evaluation import Evaluation, Metric, SnapshotScore
from tagloom.errors import InvalidArgument
from tagloom.v1 import evaluator_pb2

__all__ = ["comparison_request", "evaluation_message", "evaluation_request", "score_message"]

_METRICS: Final[dict[evaluator_pb2.Metric, Metric]] = {
    evaluator_pb2.METRIC_FRECHET: "frechet",
    evaluator_pb2.METRIC_KERNEL: "kernel",
    evaluator_pb2.METRIC_PRECISION: "precision",
    evaluator_pb2.METRIC_RECALL: "recall",
    evaluator_pb2.METRIC_EQT_INT: "eqt_int",
    evaluator_pb2.METRIC_EQT_FRAC: "eqt_frac",
    evaluator_pb2.METRIC_EQR: "eqr",
}


def evaluation_request(request: evaluator_pb2.CreateEvaluationRequest) -> EvaluationRequest:
    """Raises InvalidArgument (METRIC_UNKNOWN)."""
    return EvaluationRequest(
        evaluation_id=request.evaluation_id,
        run=request.run,
        metrics=_metrics(request.metrics),
        samples=request.samples,
        features=request.features,
    )


def comparison_request(
    request: evaluator_pb2.CompareFoldersRequest, folder_roots: tuple[Path, ...] | None
) -> ComparisonRequest:
    """Raises InvalidArgument (METRIC_UNKNOWN)."""
    return ComparisonRequest(
        real_path=request.real_path,
        generated_path=request.generated_path,
        metrics=_metrics(request.metrics),
        features=request.features,
        folder_roots=folder_roots,
    )


def evaluation_message(evaluation: Evaluation) -> evaluator_pb2.Evaluation:
    """An evaluation as it is sent."""
    features = evaluation.features
    return evaluator_pb2.Evaluation(
        name=f"evaluations/{evaluation.id}",
        create_time=evaluation.create_time,
        run=evaluation.run,
        dataset=evaluation.dataset,
        held_out=evaluation.held_out,
        features=evaluator_pb2.Features(
            extractor=features.extractor,
            version=features.version,
            weights_sha256=features.weights_sha256,
            dimensions=features.dimensions,
        ),
        snapshots=map(score_message, evaluation.snapshots),
        gate=evaluator_pb2.Gate(passed=evaluation.gate.passed, sentence=evaluation.gate.sentence),
        best_snapshot=evaluation.best_snapshot,
    )


def score_message(score: SnapshotScore) -> evaluator_pb2.SnapshotScore:
    """The scores of one snapshot, or of one pair of folders."""
    return evaluator_pb2.SnapshotScore(
        snapshot=score.snapshot,
        kimg=score.kimg,
        scores=[
            evaluator_pb2.Score(metric=s.metric, value=s.value, low=s.low, high=s.high)
            for s in score.scores
        ],
        real_count=score.real,
        generated_count=score.generated,
        seconds=score.seconds,
    )


def _metrics(metrics: Iterable[evaluator_pb2.Metric]) -> tuple[Metric, ...]:
    try:
        return tuple(_METRICS[metric] for metric in metrics)
    except KeyError as error:
        known = ", ".join(evaluator_pb2.Metric.Name(metric) for metric in _METRICS)
        raise InvalidArgument(
            f"Metric {error.args[0]} is not one that this server knows: choose among {known}.",
            reason="METRIC_UNKNOWN",
            field="metrics",
        ) from error
