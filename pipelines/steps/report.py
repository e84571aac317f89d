"""The report: gathered through the services, rendered, and kept with the experiment.

The page is the step's HTML artifact. Where TAGLOOM_STORE names a store, the experiment's documents
(its file, the report, what it made) are written there as well: on a laptop `tagloom run` sets it,
on a cluster the step's pod gets the store's URL and credentials. The services have no part in it:
to them an experiment is a sequence of calls.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import yaml

from pipelines.report.gather import gather
from pipelines.report.render import render
from pipelines.report.words import size
from pipelines.spec import Experiment
from pipelines.steps.session import step
from tagloom.artifacts import experiment as artifacts
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.errors import NotFound
from tagloom.store import open_store

__all__ = ["to_yaml", "write_report"]


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
        html = render(materials, to_yaml(spec))
        store_url = os.environ.get("TAGLOOM_STORE", "")
        if store_url:
            document = artifacts.Experiment(
                id=spec.experiment,
                create_time=now(),
                update_time=now(),
                state="succeeded",
                inputs_sha256=inputs,
                salt=salt,
                collection=collection,
                dataset=dataset,
                outcomes=tuple(cells),
            )
            _keep(store_url, spec, document, html)
        current.reused = False
        current.sentence = f"one page of {size(len(html.encode()))}"
    return html


def to_yaml(spec: Experiment) -> str:
    """The experiment as a file that `tagloom run` takes: what differs from the defaults."""
    data = spec.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)


def _keep(url: str, spec: Experiment, document: artifacts.Experiment, html: str) -> None:
    """Writes the experiment's documents, the one that says "complete" last."""
    store = open_store(url)
    store.put(layout.experiment_spec(spec.experiment), to_yaml(spec).encode())
    store.put(layout.experiment_report(spec.experiment), html.encode())
    key = layout.experiment_document(spec.experiment)
    try:
        earlier = artifacts.Experiment.load(store, key, f"experiments/{spec.experiment}")
    except NotFound:
        pass
    else:
        document = document.model_copy(update={"create_time": earlier.create_time})
    store.put(key, document.to_bytes())
