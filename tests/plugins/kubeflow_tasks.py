"""What Kubeflow's driver gives a step's container, and its launcher takes from it.

The paths, the placeholders and the layout of the artifacts are the launcher's:
`<root>/<pipeline>/<run>/<task>/<uuid>/<artifact>`.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any, Protocol

from google.protobuf import json_format
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.local.executor_output_utils import pb2_value_to_python
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

__all__ = ["ContainerTask", "Launcher", "PodFailed", "Result", "Stopped"]

TYPES = {
    pb.ParameterType.STRING: (str,),
    pb.ParameterType.NUMBER_INTEGER: (int, float),
    pb.ParameterType.NUMBER_DOUBLE: (int, float),
    pb.ParameterType.BOOLEAN: (bool,),
    pb.ParameterType.LIST: (list,),
    pb.ParameterType.STRUCT: (dict,),
    pb.ParameterType.TASK_FINAL_STATUS: (dict,),
}


class PodFailed(Exception):
    """The main container ended badly; the message is the pod's."""


class Stopped(Exception):
    """The run was told to stop."""


@dataclass
class Result:
    """What a step left behind."""

    parameters: dict[str, Any]
    artifacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """name: {"type", "uri", "metadata"}"""


@dataclass
class ContainerTask:
    """One attempt's container, resolved."""

    name: str
    run_id: str
    pod: str
    component: pb.ComponentSpec
    container: Any
    """PipelineContainerSpec"""
    kubernetes: KubernetesExecutorConfig
    parameters: dict[str, Any]
    root: str
    """where this task's artifacts go: a folder or a URI"""
    output_folder: str = "/tmp/kfp/outputs"
    """in the container"""

    def executor_input(self) -> dict[str, Any]:
        """The ExecutorInput message, as JSON."""
        definitions = self.component.output_definitions
        salt = str(uuid.uuid4())
        artifacts = {
            name: {
                "artifacts": [
                    {
                        "name": name,
                        "type": {
                            "schemaTitle": spec.artifact_type.schema_title,
                            "schemaVersion": spec.artifact_type.schema_version,
                        },
                        "uri": f"{self.root}/{self.name}/{salt}/{name}",
                        "metadata": {},
                    }
                ]
            }
            for name, spec in definitions.artifacts.items()
        }
        message = {
            "inputs": {"parameterValues": _as_go_writes(self.parameters)},
            "outputs": {
                "parameters": {
                    name: {"outputFile": f"{self.output_folder}/{name}"}
                    for name in definitions.parameters
                },
                "artifacts": artifacts,
                "outputFile": f"{self.output_folder}/output_metadata.json",
            },
        }
        json_format.ParseDict(message, pb.ExecutorInput())  # it is one
        return message

    def command(self, executor_input: dict[str, Any]) -> list[str]:
        """Command and arguments with their placeholders filled in."""
        text = json.dumps(executor_input)
        words = [*self.container.command, *self.container.args]
        filled = [word.replace("{{$}}", text) for word in words]
        for word in self.container.args:
            assert "{{$." not in word, f"placeholder {word} is not known here"
        return filled

    def result(self, output: str, executor_input: dict[str, Any]) -> Result:
        """Reads the executor's output; refuses what the component did not promise."""
        message = json_format.Parse(output, pb.ExecutorOutput())
        definitions = self.component.output_definitions
        parameters = {
            name: pb2_value_to_python(value) for name, value in message.parameter_values.items()
        }
        for name, spec in definitions.parameters.items():
            if name not in parameters:
                raise PodFailed(f"failed to read output parameter {name}")
            if not isinstance(parameters[name], TYPES[spec.parameter_type]):
                raise PodFailed(f"output parameter {name} is of another type")
        for name in parameters:
            if name not in definitions.parameters:
                raise PodFailed(f"failed to find output parameter {name} in component spec")
        artifacts = {}
        for name, given in executor_input["outputs"]["artifacts"].items():
            first = given["artifacts"][0]
            written = message.artifacts[name].artifacts[0] if name in message.artifacts else None
            artifacts[name] = {
                "type": first["type"]["schemaTitle"],
                "uri": written.uri if written is not None and written.uri else first["uri"],
                "metadata": json_format.MessageToDict(written.metadata) if written else {},
            }
        return Result(parameters, artifacts)


def _as_go_writes(value: Any) -> Any:
    """JSON numbers have one type in a protobuf; Go, which the real driver is written in, writes
    whole ones without a point."""
    if isinstance(value, dict):
        return {key: _as_go_writes(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_go_writes(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Launcher(Protocol):
    """Runs containers."""

    root: str
    """the pipeline root: where artifacts lie"""

    def run(self, task: ContainerTask, stop: Any) -> Result:
        """Runs to the end. Raises PodFailed, Stopped (when the event `stop` is set)."""
        ...

    def log(self, pod: str) -> str | None:
        """What the main container printed; None for an unknown pod."""
        ...

    def started(self, pod: str) -> bool:
        """Whether the container runs, or ran."""
        ...
