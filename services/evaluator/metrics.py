"""What the evaluator tells Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from tagloom.artifacts.evaluation import Evaluation

__all__ = ["EvaluatorMetrics"]


class EvaluatorMetrics:
    """Counted in the server when an evaluation is complete: the work itself runs in processes that
    nobody scrapes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._snapshots = Counter(
            "tagloom_evaluator_snapshots",
            "Generators in finished evaluations, those whose scores were known already included.",
            registry=registry,
        )
        self._gates = Counter(
            "tagloom_evaluator_gates",
            "Finished evaluations, by whether training brought the generator nearer beyond doubt.",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("passed", "failed"):
            self._gates.labels(outcome)

    def finished(self, evaluation: Evaluation) -> None:
        """An evaluation is complete."""
        self._snapshots.inc(len(evaluation.snapshots))
        self._gates.labels("passed" if evaluation.gate.passed else "failed").inc()
