"""What an experiment has made so far, asked of the services: names follow from inputs.

An exit handler gets no outputs of the steps before it, and needs none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from google.longrunning import operations_pb2
from google.protobuf.message import Message

from pipelines.spec import Experiment
from pipelines.steps.collect import collect_request
from pipelines.steps.evaluate import evaluate_request, outcome_of
from pipelines.steps.filter import filter_request
from pipelines.steps.plan import PlannedRun, plan_runs
from tagloom.artifacts.experiment import Outcome
from tagloom.client import Clients
from tagloom.errors import NotFound, TagloomError
from tagloom.rpc.errors import from_status
from tagloom.v1 import evaluator_pb2, filter_pb2, operation_pb2, scraper_pb2, trainer_pb2

__all__ = ["Survey", "survey"]

R = TypeVar("R", bound=Message)


@dataclass
class Survey:
    """What is there, and what is missing."""

    collection: str = ""
    dataset: str = ""
    outcomes: list[Outcome] = field(default_factory=list)
    """of the cells that were scored"""
    missing: list[str] = field(default_factory=list)
    """resource names, in the order in which they are made"""
    why: str = ""
    """the error of the first missing one's last attempt; empty when nobody knows of one"""


def survey(clients: Clients, spec: Experiment, salt: str) -> Survey:
    """Looks for each thing that the experiment makes, until one that others need is missing.

    Raises what the services raise, but for NotFound.
    """
    found = Survey()
    name = f"collections/{collect_request(spec.experiment, spec.collect, salt).collection_id}"
    collection = _there(
        lambda: clients.scraper.GetCollection(scraper_pb2.GetCollectionRequest(name=name))
    )
    if collection is None:
        return _lacks(clients, found, "scraper", name)
    found.collection = name
    request = filter_request(spec.experiment, collection, spec.filter, salt)
    dataset = f"datasets/{request.dataset_id}"
    if not _there(lambda: clients.filter.GetDataset(filter_pb2.GetDatasetRequest(name=dataset))):
        return _lacks(clients, found, "filter", dataset)
    found.dataset = dataset
    parts = spec.model_dump(mode="json", exclude_defaults=True)
    for item in plan_runs(spec.experiment, dataset, parts["train"], parts.get("evaluate", {})):
        _cell(clients, found, PlannedRun.model_validate(item))
    return found


def _cell(clients: Clients, found: Survey, planned: PlannedRun) -> None:
    run = f"runs/{planned.run_id}"
    trained = _there(lambda: clients.trainer.GetRun(trainer_pb2.GetRunRequest(name=run)))
    if trained is None or trained.state != trainer_pb2.Run.STATE_SUCCEEDED:
        _lacks(clients, found, "trainer", run)
        return
    name = f"evaluations/{evaluate_request(planned).evaluation_id}"
    evaluation = _there(
        lambda: clients.evaluator.GetEvaluation(evaluator_pb2.GetEvaluationRequest(name=name))
    )
    if evaluation is None:
        _lacks(clients, found, "evaluator", name)
        return
    found.outcomes.append(outcome_of(planned, trained, evaluation))


def _there(read: Callable[[], R]) -> R | None:
    try:
        return read()
    except NotFound:
        return None


def _lacks(clients: Clients, found: Survey, service: str, name: str) -> Survey:
    if not found.missing:
        found.why = _last_error(clients, service, name)
    found.missing.append(name)
    return found


def _last_error(clients: Clients, service: str, name: str) -> str:
    """Why the last operation that worked on `name` failed."""
    last: operations_pb2.Operation | None = None
    last_time = 0
    for operation in clients.list_operations(service, filter=f'target = "{name}" AND done = true'):
        metadata = operation_pb2.OperationMetadata()
        operation.metadata.Unpack(metadata)
        if operation.HasField("error") and metadata.update_time.ToNanoseconds() >= last_time:
            last, last_time = operation, metadata.update_time.ToNanoseconds()
    if last is None:
        return ""
    error: TagloomError = from_status(last.error)
    return f"{error.message} [{error.reason}]"
