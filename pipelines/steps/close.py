"""The end of an experiment, however it ended: marked in the store, and what is there kept.

The pipeline's exit handler. What Kubeflow says of the steps before it is of little use: its state
may be "RUNNING" after a loop (kubeflow/pipelines#13321), and it carries no message. So the step
asks the services what there is (`pipelines.steps.survey`), and the store whether the report was
written.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.report.gather import gather
from pipelines.report.render import render, render_closing
from pipelines.report.words import count
from pipelines.spec import Experiment
from pipelines.steps.events import VARIABLE, Closed, Failed, Finished, Tail, tell
from pipelines.steps.ledger import OPTIONS, Ledger, open_ledger, to_yaml
from pipelines.steps.session import step
from pipelines.steps.survey import Survey, survey
from tagloom.client import Clients
from tagloom.errors import TagloomError

__all__ = ["close_experiment"]

_ENDED_BADLY = {"FAILED", "CANCELED", "CANCELLED"}
"""states that are never said of steps that ended well"""


def close_experiment(
    experiment: dict[str, Any], salt: str, inputs: str, state: str, message: str
) -> tuple[Closed, str]:
    """Returns what there is, and the page about it.

    state, message: what the runner says of the steps before this one.
    """
    spec = Experiment.model_validate(experiment)
    with step("close") as current:
        ledger = open_ledger(spec, inputs, salt)
        found, trouble = _look(current.clients, spec, salt)
        written = ledger.completed() if ledger is not None else None
        complete = state not in _ENDED_BADLY and (
            written is not None or (ledger is None and not found.missing and not trouble)
        )
        if complete:
            closed, html = _complete(spec, ledger, found)
        else:
            error = found.why or trouble or _told() or message or _unknown(found)
            closed, html = _failed(current.clients, spec, ledger, found, error)
        tell(closed)
        current.reused = False
        runs = len(spec.train.cells())
        current.sentence = f"{closed.state}; {len(closed.outcomes)} of {count(runs, 'run')} scored"
    return closed, html


def _look(clients: Clients, spec: Experiment, salt: str) -> tuple[Survey, str]:
    """What there is; and why it could not be seen, if so: services may be what failed."""
    try:
        return survey(clients, spec, salt), ""
    except TagloomError as error:
        return Survey(), f"{error.message} [{error.reason}]"


def _told() -> str:
    """The error that a step told, where steps tell into one file: on a laptop."""
    path = os.environ.get(VARIABLE)
    failures: dict[tuple[str, str], str] = {}
    for event in Tail(Path(path)).new() if path else ():
        if isinstance(event, Failed):
            failures[event.step, event.label] = f"{event.message} [{event.reason}]"
        elif isinstance(event, Finished):
            failures.pop((event.step, event.label), None)
    return next(iter(failures.values()), "")


def _complete(spec: Experiment, ledger: Ledger | None, found: Survey) -> tuple[Closed, str]:
    closed = Closed(
        step="close",
        state="succeeded",
        report=ledger.report_url if ledger is not None else "",
        collection=found.collection,
        dataset=found.dataset,
        outcomes=tuple(found.outcomes),
    )
    return closed, render_closing(spec, closed)


def _failed(
    clients: Clients, spec: Experiment, ledger: Ledger | None, found: Survey, error: str
) -> tuple[Closed, str]:
    page = _partial_report(clients, spec, found, error) if found.outcomes else ""
    report = ""
    if ledger is not None:
        ledger.fail(error, found.collection, found.dataset, found.outcomes, page)
        report = ledger.partial_report_url if page else ""
    closed = Closed(
        step="close",
        state="failed",
        error=error,
        report=report,
        collection=found.collection,
        dataset=found.dataset,
        outcomes=tuple(found.outcomes),
    )
    return closed, page or render_closing(spec, closed)


def _partial_report(clients: Clients, spec: Experiment, found: Survey, error: str) -> str:
    """The report of the cells that were scored; empty when it cannot be made either."""
    cells = [(outcome.label, outcome.run, outcome.evaluation) for outcome in found.outcomes]
    try:
        materials = gather(clients, spec, datetime.now(UTC), found.collection, found.dataset, cells)
    except TagloomError:
        return ""  # the page is a bonus: what failed is said all the same
    scored = f"{len(cells)} of {count(len(spec.train.cells()), 'run')} scored"
    notice = f"Not complete: {scored}. {error}"
    return render(materials, to_yaml(spec), notice, os.environ.get(OPTIONS, ""))


def _unknown(found: Survey) -> str:
    missing = found.missing[0] if found.missing else "the report"
    return f"The pipeline ended before {missing} was made; the log of its step says why."
