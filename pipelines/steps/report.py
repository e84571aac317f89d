"""The report: gathered through the services, rendered, and kept with the experiment.

The page is the step's HTML artifact. Where there is a store, the experiment's documents (its file,
the report, what it made) are written there as well (`pipelines.steps.ledger`).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from pipelines.report.gather import gather
from pipelines.report.render import render
from pipelines.report.words import size
from pipelines.spec import Experiment
from pipelines.steps.ledger import OPTIONS, open_ledger, to_yaml
from pipelines.steps.session import step
from tagloom.artifacts import experiment as artifacts

__all__ = ["write_report"]


def write_report(
    experiment: dict[str, Any],
    salt: str,
    inputs: str,
    collection: str,
    dataset: str,
    outcomes: list[dict[str, Any]],
) -> str:
    """Returns the page."""
    spec = Experiment.model_validate(experiment)
    cells = [artifacts.Outcome.model_validate(outcome) for outcome in outcomes]
    with step("report") as current:
        names = [(cell.label, cell.run, cell.evaluation) for cell in cells]
        made = datetime.now(UTC)
        materials = gather(current.clients, spec, made, collection, dataset, names)
        html = render(materials, to_yaml(spec), options=os.environ.get(OPTIONS, ""))
        ledger = open_ledger(spec, inputs, salt)
        if ledger is not None:
            ledger.complete(collection, dataset, cells, html)
        current.reused = False
        current.sentence = f"one page of {size(len(html.encode()))}"
    return html
