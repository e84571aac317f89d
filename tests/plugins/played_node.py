"""A node of a real cluster whose kubelet is played by a test: its pods are processes of this
machine.

What a kubelet tells the API server is told as it does: the node's signs of life, images and secrets
that are missing, containers that run and end, deletion with grace. So a training can be followed
from the operation to the process and back on a control plane alone, without root or containerd.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kubernetes import client, config, watch

__all__ = ["PlayedNode", "wait_until"]

ROOT = Path(__file__).resolve().parents[2]
Pod = dict[str, Any]


class PlayedNode:
    """One node, Ready from `start` to `stop`."""

    def __init__(self, kubeconfig: Path, name: str, folder: Path, *, gpus: int = 0) -> None:
        """folder: for the logs of its pods."""
        self.api = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
        self.name, self.folder, self.gpus = name, folder, gpus
        self.missing_images: set[str] = set()
        self.starts = True
        """whether pods get a process; else they are left as they are, for the test to play with"""
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        """by the pod's name"""
        self.commands: list[tuple[str, list[str]]] = []
        """pod and command of every process that was started"""
        self._known: set[str] = set()
        self._killed: set[str] = set()
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=target, name=f"node-{name}", daemon=True)
            for target in (self._live, self._follow, self._reap)
        ]

    def start(self) -> None:
        """Register, and begin to take pods."""
        resources = {"cpu": "64", "memory": "64Gi", "ephemeral-storage": "1Ti", "pods": "50"}
        if self.gpus:
            resources["nvidia.com/gpu"] = str(self.gpus)
        labels = {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux"}
        self.api.create_node({"metadata": {"name": self.name, "labels": labels}})
        status = {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [_ready_node()],
        }
        self.api.patch_node_status(self.name, {"status": status})
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Kill all that runs on it, and fall silent."""
        self._ended.set()
        for process in self.processes.values():
            process.kill()
            process.wait()

    def kill(self, pod: str, number: int = signal.SIGKILL) -> None:
        """A signal to the pod's first process."""
        self.processes[pod].send_signal(number)

    def log(self, pod: str) -> str:
        """What the pod's container has said."""
        path = self.folder / f"{pod}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def show(self, pod: Pod, phase: str, state: dict[str, Any] | None = None, **more: Any) -> None:
        """Write the pod's status, as a kubelet would."""
        container = pod["spec"]["containers"][0]
        ready = phase == "Running"
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": _now()}
        status: dict[str, Any] = {"phase": phase, "conditions": [condition], **more}
        if state is not None:
            status["containerStatuses"] = [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": ready,
                    "restartCount": 0,
                    "started": ready,
                    "state": state,
                }
            ]
        metadata = pod["metadata"]
        with _gone_is_fine():
            self.api.patch_namespaced_pod_status(
                metadata["name"], metadata["namespace"], {"status": status}
            )

    # Its threads

    def _live(self) -> None:
        while not self._ended.wait(4.0):
            with contextlib.suppress(Exception):
                self.api.patch_node_status(self.name, {"status": {"conditions": [_ready_node()]}})

    def _follow(self) -> None:
        stream = watch.Watch()
        while not self._ended.is_set():
            with contextlib.suppress(Exception):
                for event in stream.stream(
                    self.api.list_pod_for_all_namespaces,
                    field_selector=f"spec.nodeName={self.name}",
                    timeout_seconds=5,
                ):
                    if self._ended.is_set():
                        return
                    self._see(event["type"], event["raw_object"])

    def _see(self, event: str, pod: Pod) -> None:
        metadata = pod["metadata"]
        uid, name = metadata["uid"], metadata["name"]
        if event == "DELETED":
            self.processes.pop(name, None)
            return
        if metadata.get("deletionTimestamp"):
            self._end(pod)
        elif uid not in self._known and pod["status"].get("phase") == "Pending" and self.starts:
            self._begin(pod)
            self._known.add(uid)

    def _begin(self, pod: Pod) -> None:
        container = pod["spec"]["containers"][0]
        if container["image"] in self.missing_images:
            message = f"failed to pull and unpack image {container['image']!r}: not found"
            self.show(pod, "Pending", {"waiting": {"reason": "ErrImagePull", "message": message}})
            return
        try:
            variables = self._variables(pod["metadata"]["namespace"], container)
        except LookupError as error:
            waiting = {"reason": "CreateContainerConfigError", "message": str(error.args[0])}
            self.show(pod, "Pending", {"waiting": waiting})
            return
        name = pod["metadata"]["name"]
        termination_log = self.folder / f"{name}.termination"
        termination_log.touch()
        command = [sys.executable, *container["command"][1:]]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                env={
                    **{key: os.environ[key] for key in ("PATH", "HOME")},
                    **variables,
                    "PYTHONPATH": str(ROOT),
                    "NUMBA_CACHE_DIR": str(self.folder / "numba"),
                    "TAGLOOM_TERMINATION_LOG": str(termination_log),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.commands.append((name, command))
        self.show(pod, "Running", {"running": {"startedAt": _now()}})

    def _variables(self, namespace: str, container: dict[str, Any]) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in container.get("envFrom") or ():
            if "configMapRef" in source:
                kind, wanted = "configmap", source["configMapRef"]["name"]
                read = self.api.read_namespaced_config_map
            else:
                kind, wanted = "secret", source["secretRef"]["name"]
                read = self.api.read_namespaced_secret
            try:
                data = read(wanted, namespace).data or {}
            except client.ApiException as error:
                raise LookupError(f'{kind} "{wanted}" not found') from error
            for key, value in data.items():
                found[key] = base64.b64decode(value).decode() if kind == "secret" else value
        return found | {entry["name"]: entry.get("value", "") for entry in container["env"]}

    def _end(self, pod: Pod) -> None:
        """A pod that was deleted: SIGTERM, and in the end no pod."""
        name = pod["metadata"]["name"]
        process = self.processes.get(name)
        if process is None or process.poll() is not None:
            self._remove(pod)
        elif pod["metadata"]["uid"] not in self._killed:
            self._killed.add(pod["metadata"]["uid"])
            process.send_signal(signal.SIGTERM)

    def _remove(self, pod: Pod) -> None:
        metadata = pod["metadata"]
        with _gone_is_fine():
            self.api.delete_namespaced_pod(
                metadata["name"], metadata["namespace"], grace_period_seconds=0
            )

    def _reap(self) -> None:
        told: set[str] = set()
        while not self._ended.wait(0.1):
            for name, process in list(self.processes.items()):
                if process.poll() is not None and name not in told:
                    with contextlib.suppress(Exception):
                        self._tell_end(name, process.returncode)
                        told.add(name)

    def _tell_end(self, name: str, code: int) -> None:
        found = self.api.list_pod_for_all_namespaces(field_selector=f"metadata.name={name}")
        for item in found.items:
            pod = self.api.api_client.sanitize_for_serialization(item)
            message = (self.folder / f"{name}.termination").read_text()
            code = code if code >= 0 else 128 - code
            ended = {
                "exitCode": code,
                "reason": "Error" if code else "Completed",
                "message": message or (self.log(name)[-1000:] if code else ""),
                "startedAt": _now(),
                "finishedAt": _now(),
            }
            self.show(pod, "Failed" if code else "Succeeded", {"terminated": ended})
            if pod["metadata"].get("deletionTimestamp"):
                self._remove(pod)


def _ready_node() -> dict[str, str]:
    return {
        "type": "Ready",
        "status": "True",
        "reason": "Played",
        "message": "a test plays its kubelet",
        "lastHeartbeatTime": _now(),
        "lastTransitionTime": _now(),
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextlib.contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except client.ApiException as error:
        if error.status not in (404, 409):
            raise


def wait_until(what: str, condition: Callable[[], Any], seconds: float = 300.0) -> Any:
    """The first truth that `condition()` returns; AssertionError says what did not come."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := condition():
            return answer
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.2)
