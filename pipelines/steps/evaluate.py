"""Every snapshot of one run scored."""

from __future__ import annotations

from typing import Any

from google.longrunning import operations_pb2

from pipelines.identity import resource_id
from pipelines.report.scores import best_kernel_distance
from pipelines.report.words import alarm_sentence
from pipelines.steps.plan import PlannedRun
from pipelines.steps.session import step
from tagloom.artifacts.experiment import Outcome
from tagloom.v1 import evaluator_pb2, trainer_pb2

__all__ = ["evaluate_request", "evaluate_run", "outcome_of"]

_FAMILIES = {"fid": "frechet", "kid": "kernel"}


def evaluate_run(cell: dict[str, Any]) -> tuple[evaluator_pb2.Evaluation, dict[str, Any]]:
    """Returns the evaluation, and the cell's Outcome as a dictionary."""
    planned = PlannedRun.model_validate(cell)
    request = evaluate_request(planned)
    name = f"evaluations/{request.evaluation_id}"
    with step("evaluate", planned.label) as current:
        client = current.clients.evaluator

        def create(request_id: str) -> operations_pb2.Operation:
            request.request_id = request_id
            return client.CreateEvaluation(request)

        evaluation = current.make(
            "CreateEvaluation",
            name,
            lambda: client.GetEvaluation(evaluator_pb2.GetEvaluationRequest(name=name)),
            create,
            evaluator_pb2.Evaluation,
        )
        run = current.clients.trainer.GetRun(trainer_pb2.GetRunRequest(name=evaluation.run))
        current.sentence = evaluation.gate.sentence
    return evaluation, outcome_of(planned, run, evaluation).model_dump(mode="json")


def outcome_of(
    planned: PlannedRun, run: trainer_pb2.Run, evaluation: evaluator_pb2.Evaluation
) -> Outcome:
    """What became of a cell."""
    return Outcome(
        label=planned.label,
        run=evaluation.run,
        evaluation=evaluation.name,
        best_snapshot=evaluation.best_snapshot,
        kernel_distance=best_kernel_distance(evaluation),
        gate_passed=evaluation.gate.passed,
        gate_sentence=evaluation.gate.sentence,
        alarms=tuple(alarm_sentence(alarm) for alarm in run.alarms),
    )


def evaluate_request(planned: PlannedRun) -> evaluator_pb2.CreateEvaluationRequest:
    """The call, without its request id."""
    families = (_FAMILIES.get(name, name) for name in planned.evaluate.metrics)
    metrics = dict.fromkeys(f"METRIC_{name.upper()}" for name in families)
    run = f"runs/{planned.run_id}"
    inputs = {"run": run, "evaluate": planned.evaluate.model_dump(mode="json")}
    return evaluator_pb2.CreateEvaluationRequest(
        evaluation_id=resource_id(planned.experiment, inputs),
        run=run,
        metrics=list(metrics),
        samples=planned.evaluate.samples,
        features=planned.evaluate.features,
    )
