"""One run over two pods: TrainJob, Kubeflow Trainer's own controller, JobSet, torchrun with gloo.

JobSet's controller is in no module that can be had. What it does with a JobSet is done here: a
headless Service, an indexed Job of the JobSet's own template, and its end told in the status.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from installed import Installed
from kubeflow_trainer import controlling
from live_cluster import ROOT
from published_crds import JOBSET, TRAINER, files

OWNER = "jobset.sigs.k8s.io/jobset-name"
BATCH = 16
KIMG = 0.32


@pytest.fixture
def train_jobs(installed: Installed, tmp_path: Path) -> Iterator[Installed]:
    """A trainer that launches TrainJobs of two nodes, as k8s/components/trainjob tells it to."""
    cluster = installed.cluster
    for path in [*files(TRAINER), *files(JOBSET)]:
        cluster.kubectl("apply", "--server-side", "-f", str(path))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    runtime = (ROOT / "k8s" / "components" / "trainjob" / "runtime.yaml").read_text()
    cluster.kubectl("apply", "-f", "-", stdin=runtime)
    before = installed.get("configmap", "tagloom-trainer")["data"]
    change(installed, {"TAGLOOM_LAUNCHER": "trainjob", "TAGLOOM_JOB_NODES": "2"})
    with controlling(cluster, tmp_path):
        yield installed
    change(installed, {"TAGLOOM_LAUNCHER": before["TAGLOOM_LAUNCHER"], "TAGLOOM_JOB_NODES": None})


def change(installed: Installed, data: dict[str, str | None]) -> None:
    """Other settings for the trainer, which is started anew."""
    patch = json.dumps({"data": data})
    installed.kubectl("patch", "configmap", "tagloom-trainer", "--type=merge", "-p", patch)
    installed.kubectl("rollout", "restart", "deployment/trainer")
    installed.kubectl("rollout", "status", "deployment/trainer", "--timeout=300s")


def test_two_pods_train_one_run(train_jobs: Installed) -> None:
    installed = train_jobs
    (dataset,) = installed.tagloom("ls", "datasets")
    command = ["-m", "tagloom.cli", "train", "--json", "--run", "wide", "--start", "photos-32"]
    command += ["--dataset", dataset["name"], "--batch", str(BATCH), "--kimg", str(KIMG)]
    # A batch that two processes can share.
    command += ["--micro-batch", str(BATCH // 2)]
    with installed.client(*command) as client:

        def made() -> Any:
            return installed.get("jobsets")["items"]

        (job_set,) = installed.cluster.wait("a JobSet", made, seconds=120)
        name = job_set["metadata"]["name"]
        job = play(installed, job_set)

        def ended() -> Any:
            pods = installed.get("pods", "-l", f"{OWNER}={name}")["items"]
            phases = [pod["status"]["phase"] for pod in pods]
            assert "Failed" not in phases, logs(installed, job)
            return pods if phases == ["Succeeded"] * 2 else None

        pods = installed.cluster.wait("the end of both pods", ended, seconds=900)
        tell_end(installed, name)
        out, err = client.communicate(timeout=120)
        assert client.returncode == 0, err
    run = json.loads(out)
    assert run["state"] == "succeeded"
    assert run["images_seen"] == run["steps"] * BATCH == KIMG * 1000
    assert {pod["spec"]["hostname"] for pod in pods} == {f"{job}-0", f"{job}-1"}
    snapshots = installed.tagloom("ls", "runs/wide/snapshots")
    assert snapshots[-1]["kimg"] == KIMG


def play(installed: Installed, job_set: dict[str, Any]) -> str:
    """What JobSet's controller makes of a JobSet; returns the Job's name."""
    name = job_set["metadata"]["name"]
    (replicated,) = job_set["spec"]["replicatedJobs"]
    job = copy.deepcopy(replicated["template"])
    labels = {OWNER: name}
    job |= {"apiVersion": "batch/v1", "kind": "Job"}
    job["metadata"] = {
        "name": f"{name}-{replicated['name']}-0",
        "namespace": "tagloom",
        "labels": {**job.get("metadata", {}).get("labels", {}), **labels},
    }
    job["spec"]["completionMode"] = "Indexed"
    pod = job["spec"]["template"]
    pod.setdefault("metadata", {}).setdefault("labels", {}).update(labels)
    pod["spec"]["subdomain"] = name
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "tagloom"},
        # The pods look each other up before they are ready.
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": labels},
    }
    installed.cluster.apply(service, job)
    made: str = job["metadata"]["name"]
    return made


def tell_end(installed: Installed, name: str) -> None:
    """The JobSet's status, as its controller would write it."""
    condition = {
        "type": "Completed",
        "status": "True",
        "reason": "AllJobsCompleted",
        "message": "jobset completed successfully",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    patch = json.dumps({"status": {"conditions": [condition], "terminalState": "Completed"}})
    subresource = ("--subresource=status", "--type=merge", "-p", patch)
    installed.kubectl("patch", "jobset", name, *subresource)


def logs(installed: Installed, job: str) -> str:
    return installed.kubectl("logs", "-l", f"job-name={job}", "--prefix", "--tail=40")
