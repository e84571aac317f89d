"""Tagloom as `docs/install.md` installs it on one node, and what tests do with it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from install_guide import first_way
from live_cluster import ROOT, Cluster

__all__ = ["Installed", "Pod", "install"]

NAMESPACE = "tagloom"
SERVICES = ("scraper", "filter", "trainer", "evaluator", "generator")
_USER = 10001


@dataclass(frozen=True)
class Pod:
    """A pod at one moment."""

    name: str
    uid: str
    phase: str
    restarts: int
    ready: bool = False

    @classmethod
    def of(cls, document: Any) -> Pod:
        """From what the API server says."""
        statuses = document["status"].get("containerStatuses", ())
        return cls(
            document["metadata"]["name"],
            document["metadata"]["uid"],
            document["status"]["phase"],
            sum(status["restartCount"] for status in statuses),
            bool(statuses) and all(status["ready"] for status in statuses),
        )


@dataclass(frozen=True)
class Installed:
    """Tagloom on a cluster with a kubelet, all its services ready."""

    cluster: Cluster
    token: str

    def kubectl(self, *arguments: str, stdin: str = "", timeout: float = 300) -> str:
        """kubectl in Tagloom's namespace."""
        return self.cluster.kubectl("-n", NAMESPACE, *arguments, stdin=stdin, timeout=timeout)

    def get(self, *arguments: str) -> Any:
        """Objects of Tagloom's namespace."""
        return self.cluster.get("-n", NAMESPACE, *arguments)

    @property
    def client_environment(self) -> dict[str, str]:
        """What a client needs that runs where the cluster's names work."""
        return {
            "PYTHONPATH": str(ROOT),
            "TAGLOOM_TARGET": "dns:///{service}.tagloom.svc:50051",
            "TAGLOOM_TOKEN": self.token,
        }

    def tagloom(self, *arguments: str, timeout: float = 600) -> Any:
        """What a `tagloom` command answers, through the services in the cluster."""
        command = [sys.executable, "-m", "tagloom.cli", *arguments, "--json"]
        done = self.cluster.run(*command, timeout=timeout, **self.client_environment)
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def client(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """A Python program beside the test, where the cluster's names work; ended at the end."""
        process = subprocess.Popen(
            self.cluster.command(sys.executable, *command),
            cwd=ROOT,
            env={**self.cluster.environment, **self.client_environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a group to kill: the program has a parent that enters for it
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    @contextlib.contextmanager
    def settings(self, service: str, **data: str) -> Iterator[None]:
        """Other settings for a service, whose pods are replaced, and again at the end."""
        before = self.get("configmap", f"tagloom-{service}")["data"]
        self.configure(service, data)
        try:
            yield
        finally:
            self.configure(service, {key: before.get(key) for key in data})

    def configure(self, service: str, data: Mapping[str, str | None]) -> None:
        """Changes a service's ConfigMap and replaces its pods; None takes a setting away.

        They are not left the time to drain, in which some calls would still meet the old settings:
        that a rolling update loses none has a test of its own. Returns when the new ones are ready.
        """
        patch = json.dumps({"data": data})
        self.kubectl("patch", "configmap", f"tagloom-{service}", "--type=merge", "-p", patch)
        before = {pod.uid for pod in self.pods(name=service)}
        selector = f"app.kubernetes.io/name={service}"
        self.kubectl("delete", "pods", "-l", selector, "--grace-period=1")

        def replaced() -> bool:
            pods = self.pods(name=service)
            return len(pods) == len(before) and all(
                pod.ready and pod.uid not in before for pod in pods
            )

        self.cluster.wait(f"{service} with new settings", replaced, seconds=300)

    def keys(self, prefix: str) -> list[str]:
        """What lies in the store below a prefix."""
        program = (
            "import sys; from tagloom.store import open_store\n"
            "for info in open_store('s3://tagloom').iterate(sys.argv[1]): print(info.key)"
        )
        done = self.cluster.run(sys.executable, "-c", program, prefix, **self.store_environment)
        return done.stdout.split()

    def states(self, run: str) -> list[int]:
        """Images seen at each durable state of a run but the start's, in order."""
        ends = (re.search(r"/state/(\d+)\.\d+/manifest", key) for key in self.keys(f"{run}/state/"))
        return sorted(int(match[1]) for match in ends if match and int(match[1]))

    @property
    def store_environment(self) -> dict[str, str]:
        """What a program needs that opens the store, as the services' user."""
        data = self.get("secret", "tagloom-store")["data"]
        keys = {name: base64.b64decode(value).decode() for name, value in data.items()}
        endpoint = self.get("configmap", "tagloom-store")["data"]["MINIO_ENDPOINT"]
        return {"PYTHONPATH": str(ROOT), "MINIO_ENDPOINT": endpoint, **keys}

    def pods(self, **labels: str) -> list[Pod]:
        """Those with these labels (`name="scraper"` is app.kubernetes.io/name) that still live."""
        selector = ",".join(f"app.kubernetes.io/{key}={value}" for key, value in labels.items())
        found = map(Pod.of, self.get("pods", "-l", selector)["items"])
        return [pod for pod in found if pod.phase not in ("Succeeded", "Failed")]

    def kill(self, pod: Pod, module: str) -> int:
        """`kill -9` for the pod's process that runs a Python module; returns its process id."""
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                groups = (folder / "cgroup").read_text()
                command = (folder / "cmdline").read_bytes().split(b"\0")
                if f"pod{pod.uid}/" in groups and module.encode() in command:
                    os.kill(int(folder.name), signal.SIGKILL)
                    return int(folder.name)
        raise AssertionError(f"{pod.name} has no process {module}")


def install(cluster: Cluster, *, seconds: float = 600) -> Installed:
    """The single-node overlay from nothing, by the very commands of docs/install.md."""
    cluster.apply(*_volumes(cluster.folder / "volumes"))
    for command in first_way()[1]:
        cluster.run("sh", "-c", command, timeout=seconds)
    secret = cluster.get("-n", NAMESPACE, "secret", "tagloom-token")
    return Installed(cluster, base64.b64decode(secret["data"]["token"]).decode())


def _volumes(folder: Path) -> Iterator[dict[str, Any]]:
    """What a cluster with a StorageClass makes by itself: volumes for the overlay's two claims."""
    for claim, size in (("data-minio-0", "20Gi"), ("tagloom-photos", "5Gi")):
        path = folder / claim
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, _USER, _USER)
        yield {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": claim},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": size},
                "claimRef": {"namespace": NAMESPACE, "name": claim},
                "hostPath": {"path": str(path)},
            },
        }
