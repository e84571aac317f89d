"""Kubeflow Pipelines' API over HTTP, strict, with runs that really run.

Routes and fields that the real server does not know are refused here too.
"""

from __future__ import annotations

import contextlib
import email.parser
import email.policy
import json
import re
import ssl
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from kfp_server_api import models
from kubeflow_engine import Pipeline, PipelineRun
from kubeflow_models import Refused, invalid, parse, plain
from kubeflow_tasks import Launcher

__all__ = ["KubeflowServer"]

ROUTES: list[tuple[str, re.Pattern[str], str]] = []


def route(method: str, path: str) -> Callable[[Any], Any]:
    """Registers a handler; `{x}` in the path becomes its argument x."""
    pattern = re.compile("/apis" + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/:]+)", path))

    def register(function: Any) -> Any:
        ROUTES.append((method, pattern, function.__name__))
        return function

    return register


@dataclass
class KubeflowServer:
    """One installation. A context manager; `url` is where it listens."""

    launcher: Launcher
    token: str = ""
    namespaces: tuple[str, ...] = ()
    """of its users; empty: one for all"""
    version: str = ""
    """told as the UI's server does; the API server itself tells none"""
    certificate: tuple[str, str] = ("", "")
    """files of a certificate and its key: speak TLS"""
    logs: bool = True
    """whether the caller may read logs"""
    state_of_loops: str = "RUNNING"
    requests: list[str] = field(default_factory=list)
    """method and path of each"""
    broken: bool = False
    """answer everything with 503"""
    pipelines: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, tuple[Any, Pipeline]] = field(default_factory=dict)
    experiments: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, tuple[Any, PipelineRun]] = field(default_factory=dict)
    cache: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> KubeflowServer:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server._serve(self)

            def do_POST(self) -> None:
                server._serve(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        scheme = "http"
        if self.certificate[0]:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.certificate)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for _run, execution in self.runs.values():
            execution.stop.set()
        self._http.shutdown()
        self._http.server_close()

    def only_run(self) -> PipelineRun:
        """The execution of the one run there is."""
        ((_, execution),) = self.runs.values()
        return execution

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        split = urlsplit(handler.path)
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        self.requests.append(f"{handler.command} {split.path}")
        kind, status = "application/json", 200
        try:
            answer = self._answer(handler, split.path, parse_qs(split.query), body)
            if isinstance(answer, str):
                kind, data = "text/plain", answer.encode()
            else:
                data = json.dumps(plain(answer)).encode()
        except Refused as error:
            status = error.status
            details = {"error": error.message, "code": error.code, "message": error.message}
            data = json.dumps(details).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        with contextlib.suppress(BrokenPipeError):
            handler.wfile.write(data)

    def _answer(
        self, handler: BaseHTTPRequestHandler, path: str, query: dict[str, list[str]], body: bytes
    ) -> Any:
        if self.broken:
            raise Refused(503, 14, "no healthy upstream")
        if self.token and handler.headers.get("authorization") != f"Bearer {self.token}":
            raise Refused(401, 16, "Request header error: there is no user identity header.")
        for method, pattern, name in ROUTES:
            found = pattern.fullmatch(path)
            if method == handler.command and found:
                arguments = {key: unquote(value) for key, value in found.groupdict().items()}
                given = {key: values[0] for key, values in query.items()}
                content = handler.headers.get("Content-Type", "")
                return getattr(self, name)(Call(given, body, content), **arguments)
        raise Refused(404, 5, "Not Found")

    def _namespace(self, namespace: str | None) -> None:
        if self.namespaces and not namespace:
            raise invalid("Namespace cannot be empty in multi-user mode")
        if namespace and not self.namespaces:
            raise invalid("In single-user mode, namespace must be empty")
        if namespace and namespace not in self.namespaces:
            raise Refused(
                404, 5, f'Failed to get the namespace: namespaces "{namespace}" not found'
            )

    @route("GET", "/v2beta1/healthz")
    def healthz(self, call: Call) -> Any:
        health = models.V2beta1GetHealthzResponse(
            multi_user=bool(self.namespaces), pipeline_store="database"
        )
        return plain(health) | ({"apiServerTagName": self.version} if self.version else {})

    # --- pipelines

    @route("GET", "/v2beta1/pipelines")
    def list_pipelines(self, call: Call) -> Any:
        call.only("namespace", "page_token", "page_size", "sort_by", "filter")
        if call.query.get("namespace"):
            self._namespace(call.query["namespace"])
        found = call.filtered(self.pipelines.values())
        return models.V2beta1ListPipelinesResponse(pipelines=found, total_size=len(found))

    @route("POST", "/v2beta1/pipelines")
    def create_pipeline(self, call: Call) -> Any:
        pipeline = call.message("V2beta1Pipeline")
        self._namespace(pipeline.namespace)
        if any(known.name == pipeline.name for known in self.pipelines.values()):
            raise Refused(409, 6, f"pipeline {pipeline.name} already exists")
        pipeline.pipeline_id, pipeline.created_at = str(uuid.uuid4()), now()
        self.pipelines[pipeline.pipeline_id] = pipeline
        return pipeline

    @route("GET", "/v2beta1/pipelines/{pipeline_id}/versions")
    def list_versions(self, call: Call, pipeline_id: str) -> Any:
        call.only("page_token", "page_size", "sort_by", "filter")
        known = [v for v, _ in self.versions.values() if v.pipeline_id == pipeline_id]
        found = call.filtered(known)
        return models.V2beta1ListPipelineVersionsResponse(
            pipeline_versions=found, total_size=len(found)
        )

    @route("POST", "/v2beta1/pipelines/upload_version")
    def upload_version(self, call: Call) -> Any:
        call.only("name", "display_name", "pipelineid", "description", "tags")
        name, pipeline_id = call.query["name"], call.query.get("pipelineid", "")
        if pipeline_id not in self.pipelines:
            raise Refused(404, 5, f"Pipeline {pipeline_id} not found")
        if any(v.name == name for v, _ in self.versions.values() if v.pipeline_id == pipeline_id):
            raise Refused(409, 6, f"pipeline version {name} already exists")
        try:
            pipeline = Pipeline(call.upload())
        except ValueError as error:
            raise invalid(str(error)) from error
        version = models.V2beta1PipelineVersion(
            pipeline_id=pipeline_id,
            pipeline_version_id=str(uuid.uuid4()),
            name=name,
            display_name=call.query.get("display_name", name),
            created_at=now(),
            pipeline_spec=pipeline.documents[0],
        )
        self.versions[version.pipeline_version_id] = (version, pipeline)
        return version

    # --- experiments

    @route("GET", "/v2beta1/experiments")
    def list_experiments(self, call: Call) -> Any:
        call.only("page_token", "page_size", "sort_by", "filter", "namespace")
        self._namespace(call.query.get("namespace"))
        found = call.filtered(self.experiments.values())
        return models.V2beta1ListExperimentsResponse(experiments=found, total_size=len(found))

    @route("POST", "/v2beta1/experiments")
    def create_experiment(self, call: Call) -> Any:
        experiment = call.message("V2beta1Experiment")
        self._namespace(experiment.namespace)
        experiment.experiment_id, experiment.created_at = str(uuid.uuid4()), now()
        self.experiments[experiment.experiment_id] = experiment
        return experiment

    @route("GET", "/v2beta1/experiments/{experiment_id}")
    def get_experiment(self, call: Call, experiment_id: str) -> Any:
        return found_in(self.experiments, experiment_id, "Experiment")

    # --- runs

    @route("GET", "/v2beta1/runs")
    def list_runs(self, call: Call) -> Any:
        call.only("namespace", "experiment_id", "page_token", "page_size", "sort_by", "filter")
        wanted = call.query.get("experiment_id")
        runs = [self._told(i) for i in self.runs if not wanted or self._of(i) == wanted]
        if call.query.get("sort_by") == "created_at desc":
            runs.reverse()
        elif call.query.get("sort_by"):
            raise invalid(f"cannot sort by {call.query['sort_by']}")
        runs = runs[: int(call.query.get("page_size", 10))]
        return models.V2beta1ListRunsResponse(runs=runs, total_size=len(runs))

    @route("POST", "/v2beta1/runs")
    def create_run(self, call: Call) -> Any:
        run = call.message("V2beta1Run")
        found_in(self.experiments, run.experiment_id, "Experiment")
        reference = run.pipeline_version_reference
        if reference is None or run.pipeline_spec is not None:
            raise invalid("a run needs the reference of a pipeline's version")
        version, pipeline = found_in(self.versions, reference.pipeline_version_id, "Version")
        if version.pipeline_id != reference.pipeline_id:
            raise invalid("the version is of another pipeline")
        given = (run.runtime_config and run.runtime_config.parameters) or {}
        try:
            arguments = pipeline.arguments(given)
        except ValueError as error:
            raise invalid(f"Failed to create a run: {error}") from error
        execution = PipelineRun(
            pipeline, arguments, self.launcher, self.cache, state_of_loops=self.state_of_loops
        )
        run.run_id, run.created_at = execution.run_id, now()
        self.runs[run.run_id] = (run, execution)
        threading.Thread(target=execution.execute, daemon=True).start()
        return self._told(run.run_id)

    @route("GET", "/v2beta1/runs/{run_id}")
    def get_run(self, call: Call, run_id: str) -> Any:
        call.only("experiment_id")
        found_in(self.runs, run_id, "Run")
        return self._told(run_id)

    @route("POST", "/v2beta1/runs/{run_id}:terminate")
    def terminate_run(self, call: Call, run_id: str) -> Any:
        _, execution = found_in(self.runs, run_id, "Run")
        execution.stop.set()
        return {}

    @route("GET", "/v1alpha1/runs/{run_id}/nodes/{node_id}/log")
    def read_log(self, call: Call, run_id: str, node_id: str) -> Any:
        found_in(self.runs, run_id, "Run")
        log = self.launcher.log(node_id)
        if not self.logs:
            raise Refused(403, 7, "User is not authorized to read logs")
        if log is None:
            raise Refused(500, 13, f'Failed to read logs: pods "{node_id}" not found')
        return log

    def _of(self, run_id: str) -> str:
        return str(self.runs[run_id][0].experiment_id)

    def _told(self, run_id: str) -> Any:
        """A run as the API tells it: a copy, with its nodes as they are now."""
        run, execution = self.runs[run_id]
        details = [
            models.V2beta1PipelineTaskDetail(
                run_id=run_id,
                task_id=node.task_id,
                display_name=node.display_name,
                create_time=node.start,
                start_time=node.start,
                end_time=node.end,
                state=node.state,
                pod_name=node.pod_name or node.task_id,
                child_tasks=[
                    models.PipelineTaskDetailChildTask(pod_name=child.pod_name or child.task_id)
                    for child in node.children
                ],
            )
            for node in list(execution.nodes)
        ]
        values = {name: getattr(run, name) for name in run.openapi_types}
        values["state"] = execution.state
        values["run_details"] = models.V2beta1RunDetails(task_details=details)
        return models.V2beta1Run(**values)


@dataclass
class Call:
    """A request's query and body."""

    query: dict[str, str]
    body: bytes
    content_type: str

    def only(self, *names: str) -> None:
        """Refuses parameters that the route does not know."""
        for name in self.query:
            if name not in names:
                raise invalid(f'unknown query parameter "{name}"')

    def message(self, kind: str) -> Any:
        """The body as a model."""
        self.only()
        try:
            return parse(kind, json.loads(self.body))
        except json.JSONDecodeError as error:
            raise invalid(f"the body is not JSON: {error}") from error

    def upload(self) -> str:
        """The file of a multipart form."""
        head = f"Content-Type: {self.content_type}\r\n\r\n".encode()
        form: Any = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + self.body)
        for part in form.iter_parts():
            if part.get_param("name", header="content-disposition") == "uploadfile":
                return bytes(part.get_payload(decode=True)).decode()
        raise invalid("Failed to read pipeline from file")

    def filtered(self, values: Any) -> list[Any]:
        """Those that the filter lets through: equality of names, which is all that is asked."""
        found = list(values)
        for predicate in json.loads(self.query.get("filter") or "{}").get("predicates", []):
            if predicate["operation"] not in (1, "EQUALS"):
                raise invalid(f"operation {predicate['operation']} is not known here")
            key, wanted = predicate["key"], predicate["stringValue"]
            if key not in ("name", "display_name"):
                raise invalid(f"cannot filter by {key}")
            found = [value for value in found if getattr(value, key) == wanted]
        return found


def found_in(known: dict[str, Any], key: str, what: str) -> Any:
    """The value, or NOT_FOUND."""
    if key not in known:
        raise Refused(404, 5, f"{what} {key} not found")
    return known[key]


def now() -> datetime:
    return datetime.now(UTC)
