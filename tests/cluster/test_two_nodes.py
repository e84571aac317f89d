"""One run over two pods on a real kubelet: TrainJob, the real controllers of Kubeflow Trainer and
JobSet, torchrun with gloo."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from installed import Installed, Pod
from kubeflow_controllers import controlling
from live_cluster import ROOT
from quickstart import Quickstart

OWNER = "jobset.sigs.k8s.io/jobset-name"
BATCH = 16
KIMG = 0.32


@pytest.fixture(scope="module")
def train_jobs(
    installed: Installed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    """A trainer that launches TrainJobs of two nodes, as k8s/components/trainjob tells it to."""
    cluster = installed.cluster
    with controlling(cluster, tmp_path_factory.mktemp("controllers")):
        runtime = (ROOT / "k8s" / "components" / "trainjob" / "runtime.yaml").read_text()
        cluster.kubectl("apply", "-f", "-", stdin=runtime)
        settings = {"TAGLOOM_LAUNCHER": "trainjob", "TAGLOOM_JOB_NODES": "2"}
        settings["TAGLOOM_JOB_ENV"] = "TAGLOOM_STATE_IMAGES=64"
        with installed.settings("trainer", **settings):
            yield installed


def test_two_pods_train_one_run(train_jobs: Installed, quickstart: Quickstart) -> None:
    installed = train_jobs
    with train(installed, "wide", quickstart.dataset, kimg=KIMG) as client:
        both = two_pods(installed, "train-wide")
        out, err = client.communicate(timeout=600)
        assert client.returncode == 0, err
    run = json.loads(out)
    assert run["state"] == "succeeded"
    assert run["images_seen"] == run["steps"] * BATCH == KIMG * 1000
    assert {pod.name.rpartition("-")[0] for pod in both} == {
        "train-wide-node-0-0",
        "train-wide-node-0-1",
    }
    snapshots = installed.tagloom("ls", "runs/wide/snapshots")
    assert snapshots[-1]["kimg"] == KIMG
    job_set = installed.get("jobset", "train-wide")
    assert job_set["status"]["terminalState"] == "Completed"
    assert job_set["status"].get("restarts", 0) == 0
    # Which the trainer follows to its end.
    train_job = installed.get("trainjob", "train-wide")
    assert "Complete" in {c["type"] for c in train_job["status"]["conditions"]}


def test_one_of_them_is_killed_and_both_start_again(
    train_jobs: Installed, quickstart: Quickstart
) -> None:
    """torch.distributed cannot take a single rank back: JobSet replaces all of them."""
    installed = train_jobs
    with train(installed, "wide-killed", quickstart.dataset, kimg=2 * KIMG) as client:
        both = two_pods(installed, "train-wide-killed")

        def durable() -> list[int]:
            return installed.states("runs/wide-killed")

        installed.cluster.wait("a durable state", durable, seconds=300)
        assert durable()[-1] < 2 * KIMG * 1000, "it had come to its end already"
        installed.kill(both[1], "services.trainer.launch.container")
        out, err = client.communicate(timeout=600)
        assert client.returncode == 0, err
    run = json.loads(out)
    assert run["state"] == "succeeded"
    assert run["images_seen"] == run["steps"] * BATCH == 2 * KIMG * 1000
    assert run["attempts"] == 2
    assert installed.get("jobset", "train-wide-killed")["status"]["restarts"] == 1


def train(installed: Installed, run: str, dataset: str, *, kimg: float) -> Any:
    """A client that trains and waits."""
    command = ["-m", "tagloom.cli", "train", "--json", "--run", run, "--start", "photos-32"]
    command += ["--dataset", dataset, "--batch", str(BATCH), "--kimg", str(kimg)]
    # A batch that two processes can share.
    return installed.client(*command, "--micro-batch", str(BATCH // 2))


def two_pods(installed: Installed, job_set: str) -> list[Pod]:
    """Both, by their names, once they run."""

    def found() -> list[Pod]:
        pods = map(Pod.of, installed.get("pods", "-l", f"{OWNER}={job_set}")["items"])
        running = sorted((p for p in pods if p.phase == "Running"), key=lambda pod: pod.name)
        return running if len(running) == 2 else []

    pods: list[Pod] = installed.cluster.wait("two pods", found, seconds=180)
    return pods
