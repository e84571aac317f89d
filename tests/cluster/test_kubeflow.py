"""An experiment by Kubeflow's hand on a live cluster: the steps in their image, by KFP's executor,
under Pod Security `restricted`, through the services in the cluster."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from installed import Installed
from kubeflow_pods import PodLauncher, copied
from kubeflow_server import KubeflowServer

from tools.photos import copy_demo_folder

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "kubeflow"
SHARDS = 2
"""of the collection, and replicas of the filter that score them"""
FILE = """\
experiment: by-kubeflow
title: A whole path in pods
collect: {folder: /photos/by-kubeflow}
filter: {resolution: 256, crop: tiles, tile_size: 64, output_size: 16, held_out: 0.25}
train:
  kimg: 0.016
  batch: 8
  channel_base: 128
  channel_max: 8
  latent_size: 16
  snapshot_kimg: 0.016
  tick_kimg: 0.016
evaluate: {metrics: [frechet, kernel], samples: 32}
"""


@dataclass(frozen=True)
class Done:
    """What the command left behind."""

    server: KubeflowServer
    launcher: PodLauncher
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(scope="module")
def done(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    """`docs/kubeflow.md`, done: a namespace for pipelines, what the pods need in it, a run."""
    cluster = installed.cluster
    labels = {
        "tagloom.dev/client": "true",
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/warn": "restricted",
    }
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": labels},
        }
    )
    for what in ("secret/tagloom-token", "secret/tagloom-store", "configmap/tagloom-store"):
        cluster.apply(copied(installed.get(what), NAMESPACE))
    folder = tmp_path_factory.mktemp("kubeflow")
    (photos := folder / "photos").mkdir()
    copy_demo_folder(photos)
    with subprocess.Popen(["tar", "-C", str(photos), "-c", "."], stdout=subprocess.PIPE) as tar:
        unpack = "mkdir -p /photos/by-kubeflow && tar -C /photos/by-kubeflow -x"
        kubectl = ("kubectl", "-n", "tagloom", "exec", "-i", "deploy/scraper", "-c", "server")
        subprocess.run(
            cluster.command(*kubectl, "--", "sh", "-c", unpack),
            stdin=tar.stdout,
            env=cluster.environment,
            check=True,
        )
    launcher = PodLauncher(cluster, NAMESPACE, folder / "kept")
    replicas = ("-n", "tagloom", "scale", "deployment/filter")
    cluster.kubectl(*replicas, f"--replicas={SHARDS}")
    cluster.kubectl("-n", "tagloom", "rollout", "status", "deployment/filter", "--timeout=120s")
    try:
        with KubeflowServer(launcher) as server:
            ran = submitted(server, folder, "--json", TAGLOOM_PIPELINES_FILTER_SHARDS=str(SHARDS))
            yield Done(server, launcher, ran.returncode, ran.stdout, ran.stderr)
    finally:
        cluster.kubectl(*replicas, "--replicas=1")


def submitted(
    server: KubeflowServer, folder: Path, *options: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    """The experiment, by the command of docs/kubeflow.md: as a client outside of the cluster."""
    (folder / "experiment.yaml").write_text(FILE)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TAGLOOM_")}
    command = [sys.executable, "-m", "tagloom.cli", "run", str(folder / "experiment.yaml")]
    return subprocess.run(
        [*command, "--kubeflow", server.url, *options],
        cwd=ROOT,
        env={**clean, "HOME": str(folder), "PYTHONPATH": str(ROOT), **settings},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def test_every_step_ran_in_its_image_and_the_experiment_is_complete(
    installed: Installed, done: Done
) -> None:
    assert done.code == 0, done.err
    (outcome,) = done.document["outcomes"]
    assert "kernel" in outcome["gate_sentence"]
    assert done.document["report"] == "s3://tagloom/experiments/by-kubeflow/report.html"
    run = installed.tagloom("get", outcome["run"])
    assert run["state"] == "succeeded"
    steps = ["collect-photos", *["score-photos"] * SHARDS, "filter-photos", "plan-runs"]
    steps += ["train-run", "evaluate-run", "write-report", "close-experiment"]
    assert done.server.only_run().executed == steps


def test_the_photos_were_scored_in_parts_before_two_replicas(done: Done) -> None:
    """Each part by whichever of them kube-proxy chose; every photo belongs to one part."""
    scored = re.findall(r"score \((\d)/2\): \d+ of (\d+) photos? looked at", done.err)
    assert sorted(shard for shard, _ in scored) == ["0", "1"], done.err
    (filtered,) = done.server.only_run().results["filter-photos"]
    counts = filtered.artifacts["counts"]["metadata"]
    assert sum(int(held) for _, held in scored) == counts["judged"], counts


def test_the_artifacts_are_what_kubeflows_page_shows(done: Done) -> None:
    run = done.server.only_run()
    (report,) = run.results["write-report"]
    page = report.artifacts["page"]
    pattern = (
        "s3://mlpipeline/v2/artifacts/tagloom-experiment/"
        f"{run.run_id}/write-report/[0-9a-f-]{{36}}/page"
    )
    assert re.fullmatch(pattern, page["uri"])
    assert "A whole path in pods" in done.launcher.path(page["uri"]).read_text()
    (trained,) = run.results["train-run"]
    model = json.loads(done.launcher.path(trained.artifacts["model"]["uri"]).read_text())
    assert re.fullmatch("[0-9a-f]{64}", model["weights_sha256"])


def test_progress_came_from_the_pods_logs(done: Done) -> None:
    for says in ("collect: ", "train (scratch, ada): ", "evaluate (scratch, ada): ", "close: succ"):
        assert says in done.err


def test_a_server_of_another_version_gets_no_run(done: Done, tmp_path: Path) -> None:
    began = time.monotonic()
    with KubeflowServer(done.launcher, version="2.3.0") as server:
        ran = submitted(server, tmp_path)
    assert time.monotonic() - began < 60
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line.endswith(" [KUBEFLOW_VERSION]")
    assert "Kubeflow Pipelines 2.3.0" in line
    assert "2.14" in line
    assert not server.runs
