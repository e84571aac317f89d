"""The grid: one item a run, complete in itself."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from pipelines.identity import resource_id
from pipelines.spec import Cell, EvaluateSpec, TrainSpec

__all__ = ["PlannedRun", "plan_runs"]


class PlannedRun(BaseModel):
    """What training and evaluating one cell needs: the item of the pipeline's loop."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    experiment: str
    label: str
    dataset: str
    """`datasets/{id}`"""
    run_id: str
    cell: Cell
    train: TrainSpec
    evaluate: EvaluateSpec


def plan_runs(
    experiment: str, dataset: str, train: dict[str, Any], evaluate: dict[str, Any]
) -> list[dict[str, Any]]:
    """One dictionary (of a PlannedRun) a cell."""
    spec = TrainSpec.model_validate(train)
    scoring = EvaluateSpec.model_validate(evaluate)
    # What is left out is no input: a run stays the same when a later version knows more options.
    options = spec.model_dump(mode="json", exclude={"start", "augment"}, exclude_none=True)
    runs = []
    for cell in spec.cells():
        inputs = {"dataset": dataset, "cell": cell.model_dump(), "options": options}
        planned = PlannedRun(
            experiment=experiment,
            label=cell.label,
            dataset=dataset,
            run_id=resource_id(experiment, inputs),
            cell=cell,
            train=spec,
            evaluate=scoring,
        )
        runs.append(planned.model_dump(mode="json", exclude_none=True))
    return runs
