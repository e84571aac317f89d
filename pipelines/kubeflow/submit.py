"""A run of the pipeline on a cluster: uploaded once by content, started once by inputs."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.experiment import PIPELINE
from pipelines.kubeflow.server import Server
from tagloom.errors import AlreadyExists

__all__ = [
    "Version",
    "active_run",
    "create_run",
    "ensure_experiment",
    "ensure_version",
    "last_salt",
]

_EQUALS = 1
"""of the API's filter operations"""
ACTIVE = {"PENDING", "RUNNING", "PAUSED", "RUNTIME_STATE_UNSPECIFIED", None}


@dataclass(frozen=True)
class Version:
    """A version of the pipeline on the server."""

    pipeline_id: str
    version_id: str
    name: str
    """Tagloom's version and a hash of the compiled pipeline"""
    uploaded: bool
    """it was not there before"""


def ensure_version(server: Server, package: Path) -> Version:
    """The version whose content is `package`: found by its name, which is a hash, or uploaded."""
    digest = hashlib.sha256(package.read_bytes()).hexdigest()[:12]
    name = f"{importlib.metadata.version('tagloom')}-{digest}"
    pipeline_id = _pipeline(server)
    found = _version(server, pipeline_id, name)
    if found:
        return Version(pipeline_id, found, name, uploaded=False)
    try:
        made = server.call(
            "to upload the pipeline",
            server.client.upload_pipeline_version,
            str(package),
            name,
            pipeline_id=pipeline_id,
        )
    except AlreadyExists:
        # Somebody was faster with the same content.
        found = _version(server, pipeline_id, name)
        if not found:
            raise
        return Version(pipeline_id, found, name, uploaded=False)
    return Version(pipeline_id, made.pipeline_version_id, name, uploaded=True)


def _pipeline(server: Server) -> str:
    """The pipeline's id; made where it is missing, without a version."""
    found = _find_pipeline(server)
    if found:
        return found
    pipeline = server.client.api_models.V2beta1Pipeline(
        name=PIPELINE,
        display_name=PIPELINE,
        namespace=server.namespace,
        description="Tagloom: from photos to a trained and scored image generator.",
    )
    try:
        made = server.call(
            "to create the pipeline",
            server.client.pipelines.pipeline_service_create_pipeline,
            pipeline,
        )
    except AlreadyExists:
        found = _find_pipeline(server)
        if not found:
            raise
        return found
    return str(made.pipeline_id)


def _find_pipeline(server: Server) -> str:
    answer = server.call(
        "to list pipelines",
        server.client.list_pipelines,
        filter=_named("display_name", PIPELINE),
        namespace=server.namespace,
    )
    return str(answer.pipelines[0].pipeline_id) if answer.pipelines else ""


def _version(server: Server, pipeline_id: str, name: str) -> str:
    answer = server.call(
        "to list the pipeline's versions",
        server.client.list_pipeline_versions,
        pipeline_id,
        filter=_named("display_name", name),
    )
    versions = answer.pipeline_versions
    return str(versions[0].pipeline_version_id) if versions else ""


def ensure_experiment(server: Server, name: str) -> str:
    """The id of Kubeflow's experiment of that name: where all runs of ours are listed."""
    made = server.call(
        "to create an experiment", server.client.create_experiment, name, namespace=server.namespace
    )
    return str(made.experiment_id)


def _runs(server: Server, experiment_id: str) -> list[Any]:
    """The last runs of an experiment, the newest first."""
    answer = server.call(
        "to list runs",
        server.client.list_runs,
        experiment_id=experiment_id,
        sort_by="created_at desc",
        page_size=50,
    )
    return list(answer.runs or [])


def _parameters(run: Any) -> dict[str, Any]:
    config = run.runtime_config
    return dict(config.parameters or {}) if config is not None else {}


def last_salt(server: Server, experiment_id: str) -> str:
    """The salt of the last run: `--fresh` draws one, and the next runs keep it."""
    for run in _runs(server, experiment_id):
        return str(_parameters(run).get("salt", ""))
    return ""


def active_run(server: Server, experiment_id: str, inputs: str = "", salt: str = "") -> Any:
    """A run that is not over, of these inputs where they are given; none if there is no such."""
    for run in _runs(server, experiment_id):
        given = _parameters(run)
        same = not inputs or (given.get("inputs"), given.get("salt", "")) == (inputs, salt)
        if run.state in ACTIVE and same:
            return run
    return None


def create_run(
    server: Server, experiment_id: str, version: Version, name: str, arguments: dict[str, Any]
) -> Any:
    """Starts a run; its caching is what the pipeline says."""
    return server.call(
        "to start a run",
        server.client.run_pipeline,
        experiment_id,
        name,
        params=arguments,
        pipeline_id=version.pipeline_id,
        version_id=version.version_id,
    )


def _named(key: str, value: str) -> str:
    predicate = {"operation": _EQUALS, "key": key, "stringValue": value}
    return json.dumps({"predicates": [predicate]})
