"""One cell of the grid trained to its end."""

from __future__ import annotations

from typing import Any

from google.longrunning import operations_pb2

from pipelines.identity import request_id
from pipelines.report.charts import number
from pipelines.report.words import duration
from pipelines.spec import TrainSpec
from pipelines.steps.plan import PlannedRun
from pipelines.steps.session import ATTEMPTS, Step, step
from tagloom.client import iterate
from tagloom.errors import FailedPrecondition, NotFound
from tagloom.v1 import trainer_pb2

__all__ = ["train_run", "training_options"]

_CONFIGS = {
    "stylegan3-t": trainer_pb2.TrainingOptions.CONFIG_STYLEGAN3_T,
    "stylegan3-r": trainer_pb2.TrainingOptions.CONFIG_STYLEGAN3_R,
    "stylegan2": trainer_pb2.TrainingOptions.CONFIG_STYLEGAN2,
}
_AUGMENTS = {
    "ada": trainer_pb2.TrainingOptions.AUGMENT_ADA,
    "fixed": trainer_pb2.TrainingOptions.AUGMENT_FIXED,
    "none": trainer_pb2.TrainingOptions.AUGMENT_NONE,
}


def train_run(cell: dict[str, Any]) -> tuple[trainer_pb2.Run, trainer_pb2.Snapshot]:
    """Returns the run, trained to its kimg, and its last snapshot."""
    planned = PlannedRun.model_validate(cell)
    request = trainer_pb2.CreateRunRequest(
        run_id=planned.run_id,
        dataset=planned.dataset,
        start=planned.cell.start,
        options=training_options(planned.train, planned.cell.augment),
    )
    with step("train", planned.label) as current:
        run = _trained(current, request)
        snapshots = list(
            iterate(
                current.clients.trainer.ListSnapshots,
                trainer_pb2.ListSnapshotsRequest(parent=run.name, page_size=1000),
                lambda page: page.snapshots,
            )
        )
        rate = run.images_seen / run.seconds if run.seconds else 0.0
        current.sentence = (
            f"{number(run.images_seen / 1000)} kimg in {duration(run.seconds)} "
            f"({number(round(rate, 1))} images a second)"
        )
    return run, snapshots[-1]


def training_options(spec: TrainSpec, augment: str) -> trainer_pb2.TrainingOptions:
    """The options as the trainer takes them; what the experiment leaves out stays unset."""
    given = spec.model_dump(exclude={"config", "start", "augment"}, exclude_none=True)
    return trainer_pb2.TrainingOptions(
        config=_CONFIGS[spec.config], augment=_AUGMENTS[augment], **given
    )


def _trained(current: Step, request: trainer_pb2.CreateRunRequest) -> trainer_pb2.Run:
    """Creates the run, joins it while it trains, or resumes it where it stopped."""
    trainer = current.clients.trainer
    name = f"runs/{request.run_id}"
    for attempt in range(ATTEMPTS):
        state, operation = _state(current, name), _running(current, name)
        if state == trainer_pb2.Run.STATE_SUCCEEDED:
            return trainer.GetRun(trainer_pb2.GetRunRequest(name=name))
        if operation is None and state == trainer_pb2.Run.STATE_UNSPECIFIED:
            request.request_id = request_id("CreateRun", name, attempt)
            operation = trainer.CreateRun(request)
        elif operation is None:
            operation = trainer.ResumeRun(
                trainer_pb2.ResumeRunRequest(
                    name=name, request_id=request_id("ResumeRun", name, attempt)
                )
            )
        if not operation.done:
            return current.wait(operation, trainer_pb2.Run)
    raise FailedPrecondition(
        f"{name} failed {ATTEMPTS} times; look at the errors with `tagloom operations list`, then "
        "start over with --fresh.",
        reason="TOO_MANY_ATTEMPTS",
        resource=name,
    )


def _state(current: Step, name: str) -> int:
    """The run's state; STATE_UNSPECIFIED without a run."""
    try:
        return current.clients.trainer.GetRun(trainer_pb2.GetRunRequest(name=name)).state
    except NotFound:
        return trainer_pb2.Run.STATE_UNSPECIFIED


def _running(current: Step, name: str) -> operations_pb2.Operation | None:
    """The operation that is at work on the run, if there is one."""
    active = f'target = "{name}" AND done = false'
    return next(current.clients.list_operations("trainer", filter=active), None)
