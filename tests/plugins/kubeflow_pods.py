"""Runs the containers of a pipeline's steps as pods, in their images, on a live cluster.

The pods are what Kubeflow's compiler and driver make of a step: its container, the Secrets and
ConfigMaps that it names, the scratch folders, and the security context of their defaults. What the
launcher in such a pod does at the end, keeping the artifacts, is done by a few lines around the
command: they print what lies below /s3 and the outputs, and the log is where we find them.
"""

from __future__ import annotations

import base64
import io
import tarfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubeflow_tasks import ContainerTask, PodFailed, Result, Stopped
from live_cluster import Cluster

__all__ = ["PodLauncher", "copied"]

MARK = "=== outputs of the step ==="
OUTPUTS = "/tmp/kfp/outputs"
_AROUND = f"""\
"$@"
code=$?
echo '{MARK}'
python3 -c 'import sys, tarfile
with tarfile.open(fileobj=sys.stdout.buffer, mode="w|gz") as tar:
    for folder in ("/s3", "{OUTPUTS}"):
        try: tar.add(folder)
        except OSError: pass' | base64
exit $code
"""


@dataclass
class PodLauncher:
    """A namespace of a live cluster; `folder` keeps what the steps leave."""

    cluster: Cluster
    namespace: str
    folder: Path
    root: str = "s3://mlpipeline/v2/artifacts"
    _started: set[str] = field(default_factory=set)
    _logs: dict[str, str] = field(default_factory=dict)

    def path(self, uri: str) -> Path:
        """Where an artifact was kept on this machine."""
        return self.folder / "s3" / uri.removeprefix("s3://")

    def started(self, pod: str) -> bool:
        return pod in self._started

    def log(self, pod: str) -> str | None:
        if pod in self._logs:
            return self._logs[pod]
        if pod not in self._started:
            return None
        return self._printed(pod).partition(MARK)[0]

    def run(self, task: ContainerTask, stop: threading.Event) -> Result:
        task.output_folder = OUTPUTS
        executor_input = task.executor_input()
        command = task.command(executor_input)
        self.cluster.apply(self._pod(task, command))
        try:
            status = self._wait(task.pod, stop)
        finally:
            printed = self._printed(task.pod)
            self._logs[task.pod] = printed.partition(MARK)[0]
            self.cluster.kubectl("-n", self.namespace, "delete", "pod", task.pod, "--now")
        ended = status["containerStatuses"][0]["state"]["terminated"]
        if ended["exitCode"]:
            reason = f"main: {ended['reason']} (exit code {ended['exitCode']})"
            raise PodFailed(f"{reason}: {ended.get('message', '')}")
        packed = base64.b64decode(printed.partition(MARK)[2])
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            kept = [member for member in tar.getmembers() if member.name.startswith("s3/")]
            tar.extractall(self.folder, kept, filter="data")
            output = tar.extractfile(executor_input["outputs"]["outputFile"].lstrip("/"))
            assert output is not None
            return task.result(output.read().decode(), executor_input)

    def _printed(self, pod: str) -> str:
        arguments = ("-n", self.namespace, "logs", pod, "-c", "main")
        return self.cluster.kubectl(*arguments, check=False)

    def _wait(self, pod: str, stop: threading.Event) -> Any:
        while not stop.wait(0.5):
            status = self.cluster.get("-n", self.namespace, "pod", pod)["status"]
            if status["phase"] != "Pending":
                self._started.add(pod)
            if status["phase"] in ("Succeeded", "Failed"):
                return status
        raise Stopped

    def _pod(self, task: ContainerTask, command: list[str]) -> dict[str, Any]:
        config = task.kubernetes
        resources = task.container.resources
        environment: list[dict[str, Any]] = [
            {"name": variable.name, "value": variable.value} for variable in task.container.env
        ]
        volumes: list[dict[str, Any]] = [{"name": "s3", "emptyDir": {}}]
        mounts = [{"name": "s3", "mountPath": "/s3"}]
        for name in ("local", "cache", "config"):
            volumes.append({"name": f"dot-{name}-scratch", "emptyDir": {}})
            mounts.append({"name": f"dot-{name}-scratch", "mountPath": f"/.{name}"})
        for kind, reference, entries in (
            ("secret", "secretKeyRef", config.secret_as_env),
            ("config_map", "configMapKeyRef", config.config_map_as_env),
        ):
            for entry in entries:
                name = getattr(entry, f"{kind}_name")
                for pair in entry.key_to_env:
                    key = {"name": name, "key": getattr(pair, f"{kind}_key")}
                    environment.append({"name": pair.env_var, "valueFrom": {reference: key}})
        for volume in config.secret_as_volume:
            name = volume.secret_name
            volumes.append({"name": name, "secret": {"secretName": name}})
            mounts.append({"name": name, "mountPath": volume.mount_path})
        for volume in config.config_map_as_volume:
            name = volume.config_map_name
            volumes.append({"name": name, "configMap": {"name": name}})
            mounts.append({"name": name, "mountPath": volume.mount_path})
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": task.pod,
                "namespace": self.namespace,
                "labels": dict(config.pod_metadata.labels),
            },
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "securityContext": {
                    "runAsNonRoot": True,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "volumes": volumes,
                "containers": [
                    {
                        "name": "main",
                        "image": task.container.image,
                        "command": ["sh", "-c", _AROUND, "launcher"],
                        "args": [escaped(word) for word in command],
                        "env": environment,
                        "volumeMounts": mounts,
                        "resources": {
                            "requests": {
                                "cpu": resources.resource_cpu_request,
                                "memory": resources.resource_memory_request,
                            },
                            "limits": {
                                "cpu": resources.resource_cpu_limit,
                                "memory": resources.resource_memory_limit,
                            },
                        },
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "capabilities": {"drop": ["ALL"]},
                            "runAsUser": config.security_context.run_as_user,
                            "runAsGroup": config.security_context.run_as_group,
                        },
                    }
                ],
            },
        }


def escaped(word: str) -> str:
    """Kubernetes replaces $(NAME) in arguments; a shell script's $(…) is not meant."""
    return word.replace("$(", "$$(")


def copied(document: dict[str, Any], namespace: str) -> dict[str, Any]:
    """A Secret or ConfigMap as it would be in another namespace."""
    kept = {key: document[key] for key in ("apiVersion", "kind", "data", "type") if key in document}
    return {**kept, "metadata": {"name": document["metadata"]["name"], "namespace": namespace}}
