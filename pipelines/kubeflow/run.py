"""One experiment on a cluster: submitted, or joined where it runs already, and followed."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipelines.cluster import Cluster
from pipelines.experiment import compile_to
from pipelines.kubeflow.follow import Ended, Follower, Tally
from pipelines.kubeflow.server import Address, Server
from pipelines.kubeflow.submit import (
    active_run,
    create_run,
    ensure_experiment,
    ensure_version,
    last_salt,
)
from pipelines.run import experiment_inputs, pipeline_arguments
from pipelines.spec import Experiment, load_experiment
from pipelines.steps.events import Event, as_error
from tagloom.artifacts import layout
from tagloom.errors import Cancelled, FailedPrecondition, NotFound, TagloomError

__all__ = ["KubeflowRun"]

_ONCE = 5
"""steps outside of the loop: collect, filter, plan, report, close"""


@dataclass(frozen=True)
class KubeflowRun:
    """A run that the server knows."""

    spec: Experiment
    server: Server
    run_id: str
    version: str
    """of the pipeline, by content"""
    joined: bool
    """the same experiment was running already"""
    uploaded: bool
    """the server did not know this version of the pipeline before"""

    @staticmethod
    def address(
        url: str, *, namespace: str = "", token: str = "", token_file: str = "", ca: str = ""
    ) -> Address:
        """What `submit` and `stop` take."""
        return Address(url, namespace, token, token_file, ca)

    @classmethod
    def submit(cls, path: Path, address: Address, *, fresh: bool = False) -> KubeflowRun:
        """Uploads the pipeline unless the server has it, and starts it unless it runs already.

        `fresh` starts over under new names. Raises InvalidArgument (SPEC_INVALID,
        SPEC_NOT_READABLE, FOLDER_ELSEWHERE, PIPELINE_SETTING_INVALID), and what connecting to the
        server and calling it raises (`pipelines.kubeflow.server`).
        """
        spec = load_experiment(path, here=False)
        cluster = Cluster.from_environment()
        server = Server(address)
        with tempfile.TemporaryDirectory(prefix="tagloom-") as folder:
            package = Path(folder) / "pipeline.yaml"
            compile_to(str(package), cluster)
            version = ensure_version(server, package)
        experiment = ensure_experiment(server, spec.experiment)
        inputs = experiment_inputs(spec, here=False)
        salt = secrets.token_hex(4) if fresh else last_salt(server, experiment)
        running = None if fresh else active_run(server, experiment, inputs, salt)
        if running is None:
            arguments = pipeline_arguments(spec, salt, inputs)
            run = create_run(server, experiment, version, spec.experiment, arguments)
        else:
            run = running
        return cls(spec, server, run.run_id, version.name, running is not None, version.uploaded)

    @classmethod
    def stop(cls, path: Path, address: Address) -> str:
        """Ends the active run of an experiment; returns its page. Raises NotFound without one."""
        spec = load_experiment(path, here=False)
        server = Server(address)
        running = active_run(server, ensure_experiment(server, spec.experiment))
        if running is None:
            raise NotFound(
                f"No run of {spec.experiment} is active at {server.url}.",
                reason="KUBEFLOW_NOT_RUNNING",
                experiment=spec.experiment,
            )
        server.call("to stop a run", server.client.terminate_run, running.run_id)
        return server.run_url(running.run_id)

    @property
    def url(self) -> str:
        """Its page."""
        return self.server.run_url(self.run_id)

    @property
    def report_key(self) -> str:
        """Where the report lies in the cluster's store."""
        return layout.experiment_report(self.spec.experiment)

    def follow(self, on_event: Callable[[Event], None], on_tally: Callable[[Tally], None]) -> Ended:
        """Waits for its end. The run does not need us: an interrupt leaves it alone."""
        steps = _ONCE + 2 * len(self.spec.train.cells())
        return Follower(self.server, self.run_id, steps).follow(on_event, on_tally)

    def error(self, ended: Ended) -> TagloomError | None:
        """Why it did not end well; none if it did."""
        if ended.state == "SUCCEEDED":
            return None
        if ended.state == "CANCELED":
            return Cancelled(
                f"Somebody stopped the run {self.url}; the same command starts where it was.",
                reason="KUBEFLOW_RUN_STOPPED",
                run=self.run_id,
            )
        if ended.failure is not None:
            return as_error(ended.failure)
        if ended.closed is not None and ended.closed.error:
            why = ended.closed.error
        else:
            steps = " and ".join(dict.fromkeys(ended.failed_steps)) or "an unknown step"
            why = f"The run failed in {steps}; the logs of its pods say why: {self.url}."
        return FailedPrecondition(why, reason="KUBEFLOW_RUN_FAILED", run=self.run_id, url=self.url)
