"""Runs a submitted pipeline from its IR YAML alone, as Kubeflow's compiler and drivers would.

Nothing here knows our pipeline: order, loops, collected outputs, the exit handler, retries and
caching are read from the messages of kfp-pipeline-spec, which refuse fields that they do not know.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import itertools
import json
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.local.executor_output_utils import pb2_value_to_python
from kfp.pipeline_spec import pipeline_spec_pb2 as pb
from kubeflow_tasks import TYPES, ContainerTask, Launcher, PodFailed, Result, Stopped

__all__ = ["Node", "Pipeline", "PipelineRun"]

ALWAYS = pb.PipelineTaskSpec.TriggerPolicy.ALL_UPSTREAM_TASKS_COMPLETED


class Pipeline:
    """A compiled pipeline. Raises ValueError for what is none."""

    def __init__(self, text: str) -> None:
        try:
            documents = list(yaml.safe_load_all(text))
            self.spec = json_format.ParseDict(documents[0], pb.PipelineSpec())
            platform = json_format.ParseDict(
                documents[1] if len(documents) > 1 else {}, pb.PlatformSpec()
            )
            deployment = json_format.ParseDict(
                json_format.MessageToDict(self.spec.deployment_spec), pb.PipelineDeploymentConfig()
            )
        except (yaml.YAMLError, json_format.ParseError, IndexError, TypeError) as error:
            raise ValueError(f"invalid v2 pipeline spec: {error}") from error
        self.documents = documents
        self.executors = dict(deployment.executors)
        kubernetes = platform.platforms["kubernetes"].deployment_spec.executors
        self.kubernetes = {
            label: json_format.ParseDict(
                json_format.MessageToDict(config), KubernetesExecutorConfig()
            )
            for label, config in kubernetes.items()
        }
        for component in self.spec.components.values():
            label = component.executor_label
            if label and self.executors[label].WhichOneof("spec") != "container":
                raise ValueError(f"executor {label} is not a container")

    @property
    def name(self) -> str:
        return str(self.spec.pipeline_info.name)

    def arguments(self, given: dict[str, Any]) -> dict[str, Any]:
        """The root's inputs. Raises ValueError as the server would refuse them."""
        definitions = self.spec.root.input_definitions.parameters
        for name in given:
            if name not in definitions:
                raise ValueError(f"parameter {name} is not an input of the pipeline")
        return check(definitions, dict(given))


def check(definitions: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Values for inputs: types checked, defaults filled in. Raises ValueError."""
    for name, spec in definitions.items():
        if name in values:
            wanted = TYPES[spec.parameter_type]
            if not isinstance(values[name], wanted):
                raise ValueError(f"input parameter {name} type mismatch: {values[name]!r}")
        elif spec.HasField("default_value"):
            values[name] = pb2_value_to_python(spec.default_value)
        elif not spec.is_optional:
            raise ValueError(f"no value for non-optional parameter {name}")
    return values


@dataclass
class Node:
    """A node of the workflow, as the API lists them: Argo's, pods and groups alike."""

    display_name: str
    task_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    pod_name: str = ""
    state: str = "PENDING"
    start: datetime = field(default_factory=lambda: datetime.now(UTC))
    end: datetime | None = None
    children: list[Node] = field(default_factory=list)

    def finish(self, state: str) -> None:
        self.state = state
        self.end = datetime.now(UTC)


@dataclass
class PipelineRun:
    """One execution."""

    pipeline: Pipeline
    arguments: dict[str, Any]
    launcher: Launcher
    cache: dict[str, Result]
    """shared by all runs of a server"""
    run_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    backoff_scale: float = 0.01
    """of the pauses between retries: a test has no minutes"""
    state_of_loops: str = "RUNNING"
    """what an exit handler hears of a group with a loop in it, as long as
    kubeflow/pipelines#13321 is open there; else COMPLETE or FAILED"""
    stop: threading.Event = field(default_factory=threading.Event)
    nodes: list[Node] = field(default_factory=list)
    executed: list[str] = field(default_factory=list)
    """names of the steps whose container was started, in that order"""
    results: dict[str, list[Result]] = field(default_factory=dict)
    """by name of the step"""
    cached: list[str] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    """seconds before each retry, unscaled"""
    state: str = "PENDING"
    _numbers: Any = field(default_factory=lambda: itertools.count(1))
    _lock: Any = field(default_factory=threading.Lock)

    def execute(self) -> None:
        """Runs to the end; `state` says how it went."""
        self.state = "RUNNING"
        try:
            self._dag(self.pipeline.spec.root, dict(self.arguments), self._node("root"))
            self.state = "SUCCEEDED"
        except Stopped:
            self.state = "CANCELED"
        except PodFailed:
            self.state = "FAILED"

    def _node(self, name: str, parent: Node | None = None) -> Node:
        node = Node(name)
        with self._lock:
            self.nodes.append(node)
            if parent is not None:
                parent.children.append(node)
        return node

    def _dag(self, component: pb.ComponentSpec, inputs: dict[str, Any], node: Node) -> Any:
        """Runs a DAG's tasks; returns its outputs. Raises PodFailed when one failed."""
        node.state = "RUNNING"
        tasks = dict(component.dag.tasks)
        outputs: dict[str, dict[str, Any]] = {}
        states: dict[str, str] = {}
        stopped = False
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            running: dict[concurrent.futures.Future[Any], str] = {}
            while len(states) < len(tasks):
                for name, task in tasks.items():
                    if name in states or name in running.values():
                        continue
                    before = [states.get(upstream) for upstream in task.dependent_tasks]
                    if None in before:
                        continue
                    always = task.trigger_policy.strategy == ALWAYS
                    if not always and any(state != "SUCCEEDED" for state in before):
                        states[name] = "OMITTED"
                        continue
                    running[pool.submit(self._task, name, task, inputs, outputs, states, node)] = (
                        name
                    )
                if not running:
                    continue
                done, _ = concurrent.futures.wait(
                    running, return_when=concurrent.futures.FIRST_COMPLETED
                )
                for future in done:
                    name = running.pop(future)
                    try:
                        outputs[name] = future.result()
                        states[name] = "SUCCEEDED"
                    except PodFailed:
                        states[name] = "FAILED"
                    except Stopped:
                        states[name] = "FAILED"
                        stopped = True
        if stopped:
            node.finish("FAILED")
            raise Stopped
        if any(state != "SUCCEEDED" for state in states.values()):
            node.finish("FAILED")
            raise PodFailed(f"{node.display_name} failed")
        node.finish("SUCCEEDED")
        selected = {}
        for key, selector in component.dag.outputs.parameters.items():
            source = selector.value_from_parameter
            selected[key] = outputs[source.producer_subtask][source.output_parameter_key]
        return selected

    def _task(
        self,
        name: str,
        task: pb.PipelineTaskSpec,
        inputs: dict[str, Any],
        outputs: dict[str, dict[str, Any]],
        states: dict[str, str],
        parent: Node,
    ) -> dict[str, Any]:
        component = self.pipeline.spec.components[task.component_ref.name]
        self._node(f"{name}-driver", parent).finish("SUCCEEDED")
        node = self._node(name, parent)
        try:
            values = self._inputs(task, inputs, outputs, states)
            if task.WhichOneof("iterator"):
                return self._loop(task, component, values, node)
            values = check(component.input_definitions.parameters, values)
        except ValueError as error:
            node.finish("FAILED")
            raise PodFailed(f"driver of {name}: {error}") from error
        if component.WhichOneof("implementation") == "dag":
            result: dict[str, Any] = self._dag(component, values, node)
            return result
        return self._container(name, task, component, values, node).parameters

    def _inputs(
        self,
        task: pb.PipelineTaskSpec,
        inputs: dict[str, Any],
        outputs: dict[str, dict[str, Any]],
        states: dict[str, str],
    ) -> dict[str, Any]:
        if task.inputs.artifacts:
            raise ValueError("artifacts as inputs are not implemented here")
        values = {}
        for name, spec in task.inputs.parameters.items():
            if spec.parameter_expression_selector:
                raise ValueError("expression selectors are not implemented here")
            kind = spec.WhichOneof("kind")
            if kind == "runtime_value":
                values[name] = pb2_value_to_python(spec.runtime_value.constant)
            elif kind == "component_input_parameter":
                values[name] = inputs[spec.component_input_parameter]
            elif kind == "task_output_parameter":
                source = spec.task_output_parameter
                if source.producer_task not in task.dependent_tasks:
                    raise ValueError(f"{name} comes from a task that may not be over")
                values[name] = outputs[source.producer_task][source.output_parameter_key]
            elif kind == "task_final_status":
                producer = spec.task_final_status.producer_task
                state = {"SUCCEEDED": "COMPLETE"}.get(states[producer], "FAILED")
                values[name] = {
                    "state": self.state_of_loops or state,
                    "pipelineTaskName": producer,
                    "pipelineJobResourceName": f"run/{self.run_id}",
                    "error": {},  # Kubeflow's driver carries no message
                }
            else:
                raise ValueError(f"input {name} of kind {kind}")
        return values

    def _loop(
        self,
        task: pb.PipelineTaskSpec,
        component: pb.ComponentSpec,
        values: dict[str, Any],
        node: Node,
    ) -> dict[str, Any]:
        node.state = "RUNNING"
        iterator = task.parameter_iterator
        if iterator.items.WhichOneof("kind") == "raw":
            items = json.loads(iterator.items.raw)
        else:
            items = values.pop(iterator.items.input_parameter)
        limit = task.iterator_policy.parallelism_limit or len(items) or 1
        with concurrent.futures.ThreadPoolExecutor(limit) as pool:
            futures = []
            for item in items:
                own = {**values, iterator.item_input: item}
                definitions = component.input_definitions.parameters
                check({n: s for n, s in definitions.items() if n in own}, own)
                child = self._node("iteration-item", node)
                futures.append(pool.submit(self._dag, component, own, child))
            concurrent.futures.wait(futures)
        for future in futures:
            if future.exception() is not None:
                node.finish("FAILED")
                raise future.exception()  # type: ignore[misc]
        node.finish("SUCCEEDED")
        # dsl.Collected: one list an output, in the order of the items.
        return {
            name: [future.result()[name] for future in futures]
            for name in component.output_definitions.parameters
        }

    def _container(
        self,
        name: str,
        task: pb.PipelineTaskSpec,
        component: pb.ComponentSpec,
        values: dict[str, Any],
        node: Node,
    ) -> Result:
        label = component.executor_label
        container = self.pipeline.executors[label].container
        key = self._fingerprint(component, container, values, task.caching_options.cache_key)
        if task.caching_options.enable_cache and key in self.cache:
            with self._lock:
                self.cached.append(name)
            node.finish("SUCCEEDED")
            return self.cache[key]
        node.state = "RUNNING"
        policy = task.retry_policy
        for attempt in range(policy.max_retry_count + 1):
            pod = f"{self.pipeline.name}-{self.run_id[:5]}-impl-{next(self._numbers)}"
            display = f"executor({attempt})" if policy.max_retry_count else "executor"
            pod_node = self._node(display, node)
            pod_node.pod_name = pod
            with self._lock:
                self.executed.append(name)
            try:
                result = self._pod(name, component, container, values, label, pod, pod_node)
            except PodFailed:
                if attempt == policy.max_retry_count:
                    node.finish("FAILED")
                    raise
                self._pause(policy, attempt)
                continue
            except Stopped:
                node.finish("FAILED")
                raise
            node.finish("SUCCEEDED")
            with self._lock:
                self.results.setdefault(name, []).append(result)
                if task.caching_options.enable_cache:
                    self.cache[key] = result
            return result
        raise AssertionError("unreachable")

    def _pod(
        self,
        name: str,
        component: pb.ComponentSpec,
        container: Any,
        values: dict[str, Any],
        label: str,
        pod: str,
        node: Node,
    ) -> Result:
        watcher = threading.Thread(target=self._watch, args=(node,), daemon=True)
        watcher.start()
        own = ContainerTask(
            name=name,
            run_id=self.run_id,
            pod=pod,
            component=component,
            container=container,
            kubernetes=self.pipeline.kubernetes.get(label, KubernetesExecutorConfig()),
            parameters=values,
            root=f"{self.launcher.root}/{self.pipeline.name}/{self.run_id}",
        )
        try:
            result = self.launcher.run(own, self.stop)
        except (PodFailed, Stopped):
            node.finish("FAILED")
            raise
        node.finish("SUCCEEDED")
        return result

    def _watch(self, node: Node) -> None:
        """PENDING becomes RUNNING when the container starts."""
        while node.end is None and node.state == "PENDING":
            if self.launcher.started(node.pod_name):
                node.state = "RUNNING" if node.end is None else node.state
            time.sleep(0.02)

    def _pause(self, policy: pb.PipelineTaskSpec.RetryPolicy, attempt: int) -> None:
        pause = policy.backoff_duration.seconds * (policy.backoff_factor or 2.0) ** attempt
        with self._lock:
            self.pauses.append(pause)
        if self.stop.wait(pause * self.backoff_scale):
            raise Stopped

    @staticmethod
    def _fingerprint(
        component: pb.ComponentSpec, container: Any, values: dict[str, Any], custom: str
    ) -> str:
        parts = {
            "inputs": values,
            "outputs": json_format.MessageToDict(component.output_definitions),
            "image": container.image,
            "command": [*container.command, *container.args],
            "env": {variable.name: variable.value for variable in container.env},
        }
        text = custom or json.dumps(parts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
