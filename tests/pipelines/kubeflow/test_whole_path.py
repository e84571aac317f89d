"""From photos to a report by Kubeflow's hand: every step by KFP's executor, every service real."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shutil import copy2

import pytest
from kubeflow_engine import PipelineRun
from kubeflow_processes import ProcessLauncher
from kubeflow_server import KubeflowServer

from tagloom.artifacts import layout
from tagloom.artifacts.experiment import Experiment
from tagloom.store import open_store

from .conftest import Answer, command, environment, tagloom

TOKEN = "a-token-that-only-pods-know"
FILE = """\
experiment: tiny
title: A whole path on a cluster
collect: {{folder: {photos}}}
filter: {{resolution: 256, crop: tiles, tile_size: 64, output_size: 16, held_out: 0.25}}
train:
  augment: [ada, none]
  kimg: 0.016
  batch: 8
  channel_base: 128
  channel_max: 8
  latent_size: 16
  snapshot_kimg: 0.016
  tick_kimg: 0.016
evaluate: {{metrics: [frechet, kernel], samples: 32}}
"""


@dataclass(frozen=True)
class Cluster:
    """Services behind a token, a Kubeflow, and the answer of the first run."""

    folder: Path
    server: KubeflowServer
    target: str
    answer: Answer

    def run(self, *arguments: str) -> Answer:
        return submit(self.folder, self.server, self.target, *arguments)

    @property
    def executions(self) -> list[PipelineRun]:
        return [execution for _, execution in self.server.runs.values()]


def submit(folder: Path, server: KubeflowServer, target: str, *arguments: str) -> Answer:
    return tagloom(
        "run",
        "tiny.yaml",
        "--kubeflow",
        server.url,
        *arguments,
        cwd=folder,
        TAGLOOM_PIPELINES_TARGET=target,
        TAGLOOM_PIPELINES_RETRIES="0",
        TAGLOOM_PIPELINES_FILTER_SHARDS="2",
    )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    (folder / "photos").mkdir()
    for name in ("chelsea.png", "coffee.png"):
        copy2(Path(spec.origin).parent / "data" / name, folder / "photos" / name)
    (folder / "tiny.yaml").write_text(FILE.format(photos=folder / "photos"))
    process = subprocess.Popen(
        command("up", "--store", "store", "--address", "127.0.0.1:0", "--metrics-address", ""),
        cwd=folder,
        env=environment(OMP_NUM_THREADS="1", TAGLOOM_TORCH_THREADS="1", TAGLOOM_TOKEN=TOKEN),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    log, target = "", ""
    for line in process.stderr:
        log += line
        if found := re.search(r"serving .* at (127\.0\.0\.1:\d+)", line):
            target = found[1]
            break
    assert target, log
    launcher = ProcessLauncher(
        folder / "pods",
        secrets={
            "tagloom-token": {"token": TOKEN},
            "tagloom-store": {"MINIO_ACCESS_KEY": "a", "MINIO_SECRET_KEY": "b"},
        },
        config_maps={
            "tagloom-store": {
                "TAGLOOM_STORE": str(folder / "store"),
                "MINIO_ENDPOINT": "http://127.0.0.1:1",
            }
        },
    )
    try:
        with KubeflowServer(launcher, token="kubeflow") as server:
            server.token = ""
            yield Cluster(folder, server, target, submit(folder, server, target, "--json"))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def test_the_answer_says_what_there_is_and_where(cluster: Cluster) -> None:
    assert cluster.answer.code == 0, cluster.answer.err
    document = cluster.answer.document
    assert document["experiment"] == "tiny"
    assert document["joined"] is False
    assert [outcome["label"] for outcome in document["outcomes"]] == [
        "scratch, ada",
        "scratch, none",
    ]
    assert document["report"].endswith("/store/experiments/tiny/report.html")
    assert document["url"] == f"{cluster.server.url}/#/runs/details/{document['run']}"
    # Told by the steps' logs on the way.
    for says in ("collect: 2 photos", "train (scratch, ada): ", "report: one page", "close: succ"):
        assert says in cluster.answer.err, cluster.answer.err


def test_the_store_keeps_the_experiment(cluster: Cluster) -> None:
    store = open_store(str(cluster.folder / "store"))
    document = Experiment.load(store, layout.experiment_document("tiny"), "tiny")
    assert document.state == "succeeded"
    assert len(document.outcomes) == 2
    assert b"A whole path on a cluster" in store.get(layout.experiment_report("tiny"))
    assert not store.exists(layout.experiment_partial_report("tiny"))


def test_the_steps_ran_in_the_order_of_the_pipeline(cluster: Cluster) -> None:
    executed = cluster.executions[0].executed
    assert executed[:3] == ["collect-photos", "score-photos", "score-photos"]
    assert executed[3:5] == ["filter-photos", "plan-runs"]
    assert sorted(executed[5:9]) == ["evaluate-run"] * 2 + ["train-run"] * 2
    assert executed[9:] == ["write-report", "close-experiment"]


def test_the_parts_of_the_collection_were_scored_each_by_a_pod_of_its_own(
    cluster: Cluster,
) -> None:
    scored = re.findall(r"score \((\d/2)\): (\d+) of \d+ photos? looked at", cluster.answer.err)
    assert sorted(shard for shard, _ in scored) == ["0/2", "1/2"], cluster.answer.err
    assert sum(int(count) for _, count in scored) == 2


def test_artifacts_lie_where_kubeflows_page_looks_for_them(cluster: Cluster) -> None:
    run = cluster.executions[0]
    root = cluster.server.launcher.root
    kinds = {}
    for step, results in run.results.items():
        for result in results:
            for name, artifact in result.artifacts.items():
                kinds[step, name] = artifact["type"]
                parts = Path(artifact["uri"]).relative_to(root).parts
                assert parts[:3] == ("tagloom-experiment", run.run_id, step)
                assert parts[4:] == (name,)
                if artifact["type"] != "system.Metrics":
                    assert Path(artifact["uri"]).stat().st_size
    assert kinds == {
        ("collect-photos", "counts"): "system.Metrics",
        ("filter-photos", "counts"): "system.Metrics",
        ("train-run", "progress"): "system.Metrics",
        ("train-run", "model"): "system.Model",
        ("evaluate-run", "scores"): "system.Metrics",
        ("evaluate-run", "model"): "system.Model",
        ("write-report", "page"): "system.HTML",
        ("write-report", "summary"): "system.Metrics",
        ("close-experiment", "page"): "system.HTML",
        ("close-experiment", "summary"): "system.Metrics",
    }
    (report,) = run.results["write-report"]
    page = Path(report.artifacts["page"]["uri"]).read_text()
    assert "A whole path on a cluster" in page
    assert report.artifacts["summary"]["metadata"]["runs"] == 2
    for result in run.results["train-run"]:
        model = result.artifacts["model"]
        written = json.loads(Path(model["uri"]).read_text())
        assert re.fullmatch("[0-9a-f]{64}", written["weights_sha256"])
        assert model["metadata"]["snapshot"] == written["snapshot"]
    for result in run.results["evaluate-run"]:
        metrics = result.artifacts["scores"]["metadata"]
        assert any(name.startswith("kernel_") for name in metrics)


def test_a_second_run_makes_nothing_again(cluster: Cluster) -> None:
    answer = cluster.run("--json")
    assert answer.code == 0, answer.err
    assert answer.document["outcomes"] == cluster.answer.document["outcomes"]
    assert answer.document["run"] != cluster.answer.document["run"]
    assert answer.err.count("(there already)") == 6
    run = cluster.executions[-1]
    assert run.cached == ["plan-runs"]
    assert len(cluster.server.versions) == 1


def test_what_was_removed_is_made_again_although_its_inputs_are_the_same(
    cluster: Cluster,
) -> None:
    # What Kubeflow's own cache would get wrong.
    store = open_store(str(cluster.folder / "store"))
    outcome = cluster.answer.document["outcomes"][1]
    store.delete(layout.evaluation(outcome["evaluation"].removeprefix("evaluations/")))
    answer = cluster.run("--json")
    assert answer.code == 0, answer.err
    assert answer.err.count("(there already)") == 5
    assert store.exists(layout.evaluation(outcome["evaluation"].removeprefix("evaluations/")))


def test_a_failure_keeps_what_was_scored_before_it(cluster: Cluster) -> None:
    file = cluster.folder / "tiny.yaml"
    text = file.read_text()
    try:
        # The second cell starts from a network that does not exist.
        changed = text.replace("augment: [ada, none]", "start: [scratch, no-such-network]")
        file.write_text(changed)
        answer = cluster.run("--json")
    finally:
        file.write_text(text)
    assert answer.code == 1
    error = answer.document["error"]
    assert "networks/no-such-network" in error["message"]
    assert "partial-report.html" in answer.err
    store = open_store(str(cluster.folder / "store"))
    document = Experiment.load(store, layout.experiment_document("tiny"), "tiny")
    assert document.state == "failed"
    # The trainer refused the request, so no operation of it remembers why.
    assert re.fullmatch(
        "The pipeline ended before runs/tiny-[0-9a-f]+ was made; the log of its step says why.",
        document.error,
    )
    # The first cell, ADA from scratch, was there already.
    assert [outcome.label for outcome in document.outcomes] == ["scratch, ada"]
    page = store.get(layout.experiment_partial_report("tiny")).decode()
    assert "Not complete: 1 of 2 runs scored." in page
    # The report of the complete run is still there.
    assert store.exists(layout.experiment_report("tiny"))
    assert cluster.executions[-1].executed[-1] == "close-experiment"
    assert "write-report" not in cluster.executions[-1].executed


def test_on_a_laptop_the_same_pipeline_ends_the_same_way(cluster: Cluster) -> None:
    text = (cluster.folder / "tiny.yaml").read_text()
    changed = text.replace("augment: [ada, none]", "start: no-such-network")
    (cluster.folder / "laptop.yaml").write_text(changed.replace("tiny", "laptop"))
    answer = tagloom(
        "run",
        "laptop.yaml",
        "--target",
        cluster.target,
        "--store",
        "store",
        cwd=cluster.folder,
        TAGLOOM_TOKEN=TOKEN,
    )
    assert answer.code == 1
    assert "networks/no-such-network" in answer.err
    store = open_store(str(cluster.folder / "store"))
    document = Experiment.load(store, layout.experiment_document("laptop"), "laptop")
    assert document.state == "failed"
    assert "networks/no-such-network" in document.error
