"""A real Prometheus watches `tagloom up` at work, on a real MinIO, from photos to pictures.

Whatever a dashboard or an alert names is found there; each panel has something to show; and what
Prometheus says is what happened.
"""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from instagram_server import SESSION, Answer, InstagramServer
from instagram_world import Profile, make_posts
from minio_server import MinioServer
from prometheus_server import PrometheusServer, run_promtool, running_prometheus

from tagloom.client import Clients, connect
from tagloom.v1 import (
    evaluator_pb2,
    filter_pb2,
    generator_pb2,
    operation_pb2,
    scraper_pb2,
    trainer_pb2,
)
from tests.monitoring.promql import Expression, expressions
from tests.monitoring.stack import ROOT, configuration, free_port, stack

pytestmark = [pytest.mark.prometheus, pytest.mark.minio]

NEEDS_A_GPU = {
    "tagloom_training_gpu_memory_peak_bytes",
    "tagloom_training_gpu_memory_free_bytes",
    "tagloom_training_gpu_memory_total_bytes",
}
"""announced to Prometheus on every machine; with values only where the training has a GPU"""
EMPTY_IN_GOOD_TIMES = {
    "experiment.json: Alarms A",
    "training.json: Alarms A",
    "services.json: Servers down A",
    "services.json: Not ready A",
    "services.json: Failing calls A",
    "services.json: Instagram refuses A",
    "store.json: Failures A",
}
"""panels that show only what is wrong"""
TRAINING = trainer_pb2.TrainingOptions(
    config=trainer_pb2.TrainingOptions.CONFIG_STYLEGAN2,
    kimg=8.0,
    batch=4,
    channel_base=128,
    channel_max=8,
    latent_size=8,
    mapping_layers=2,
    ada_kimg=1.0,
    tick_kimg=0.05,
    snapshot_kimg=0.4,
    score_samples=16,
    samples=4,
)


@dataclass(frozen=True)
class Watched:
    """What happened, as the services answered, and as Prometheus saw it."""

    prometheus: PrometheusServer
    page: str
    """/metrics at the end"""
    begin: float
    end: float
    collection: scraper_pb2.Collection
    dataset: filter_pb2.Dataset
    run: trainer_pb2.Run
    evaluation: evaluator_pb2.Evaluation

    def series(self, name: str) -> list[dict[str, str]]:
        """Labels of all series of that name, whenever they were there."""
        found: list[dict[str, str]] = self.prometheus.ask(
            "series", **{"match[]": name}, start=str(self.begin), end=str(self.end)
        )
        return found

    def over_time(self, expression: str) -> list[dict[str, Any]]:
        """The values that an expression had while all this happened."""
        found: list[dict[str, Any]] = self.prometheus.ask(
            "query_range",
            query=expression,
            start=str(self.begin),
            end=str(self.end),
            step="2",
        )["result"]
        return found

    def largest(self, expression: str) -> float:
        return max(float(value) for one in self.over_time(expression) for _, value in one["values"])

    def now(self, expression: str) -> float:
        return max(float(one["value"][1]) for one in self.prometheus.query(expression))


@pytest.fixture(scope="module")
def watched(minio: MinioServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    metrics_port = free_port()
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(configuration(metrics_port, minio.port)))
    begin = time.time()
    with (
        InstagramServer() as instagram,
        running_prometheus(config, folder) as prometheus,
        stack(folder, minio, metrics_port, settings=pointed_at(instagram, folder)) as address,
        connect(address) as clients,
    ):
        results = use(clients, folder, instagram, prometheus)
        metrics = f"http://127.0.0.1:{metrics_port}/metrics"
        with urllib.request.urlopen(metrics, timeout=10) as answer:
            page = answer.read().decode()
        time.sleep(3)  # the last scrapes
        yield Watched(prometheus, page, begin, time.time(), *results)


def pointed_at(instagram: InstagramServer, folder: Path) -> dict[str, str]:
    """Settings of a scraper that finds the local Instagram, logged in."""
    session = folder / "session.json"
    session.write_text(json.dumps(SESSION))
    return {
        "TAGLOOM_INSTAGRAM_URL": instagram.url,
        "TAGLOOM_INSTAGRAM_PAUSE_S": "0",
        "TAGLOOM_INSTAGRAM_SESSION": str(session),
    }


def train(clients: Clients, prometheus: PrometheusServer) -> trainer_pb2.Run:
    """A run that ends when Prometheus has seen enough of it, however fast the machine is."""
    name = "runs/cats-0123456789"
    stopped = False

    def watch(metadata: operation_pb2.OperationMetadata) -> None:
        nonlocal stopped
        seen = (
            "count_over_time(tagloom_training_images_seen[1h]) > 5"
            " and on (run) tagloom_training_snapshot_score"
            " and on (run) tagloom_training_overfitting_ratio"
        )
        if metadata.phase == "train" and not stopped and prometheus.query(seen):
            stopped = True
            clients.trainer.StopRun(trainer_pb2.StopRunRequest(name=name))

    request = trainer_pb2.CreateRunRequest(
        run_id=name.removeprefix("runs/"), dataset="datasets/squares", options=TRAINING
    )
    operation = clients.trainer.CreateRun(request)
    return clients.wait(operation, trainer_pb2.Run, on_progress=watch, timeout_s=1200)


def use(
    clients: Clients, folder: Path, instagram: InstagramServer, prometheus: PrometheusServer
) -> tuple[scraper_pb2.Collection, filter_pb2.Dataset, trainer_pb2.Run, evaluator_pb2.Evaluation]:
    """Photos, a dataset, a run, an evaluation, pictures; and some of Instagram with a pause."""
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    (folder / "photos").mkdir()
    for name in ("chelsea.png", "coffee.png", "astronaut.png", "camera.png"):
        shutil.copy2(Path(spec.origin).parent / "data" / name, folder / "photos" / name)
    request = scraper_pb2.CreateCollectionRequest(collection_id="photos")
    request.folder.path = str(folder / "photos")
    collection = clients.wait(
        clients.scraper.CreateCollection(request), scraper_pb2.Collection, timeout_s=120
    )
    instagram.world.add_hashtag("betta", make_posts(Profile("cats", "1"), 4))
    instagram.fail("image", Answer.failure(429, "no", Retry_After="3"), after=1)
    request = scraper_pb2.CreateCollectionRequest(collection_id="fish")
    request.hashtag.hashtag = "betta"
    clients.wait(clients.scraper.CreateCollection(request), scraper_pb2.Collection, timeout_s=120)
    dataset = clients.wait(
        clients.filter.CreateDataset(
            filter_pb2.CreateDatasetRequest(
                dataset_id="squares",
                collection="collections/photos",
                resolution=256,
                crop=filter_pb2.Crop(mode=filter_pb2.Crop.MODE_TILES, tile_size=64, output_size=16),
                held_out_ratio=0.25,
            )
        ),
        filter_pb2.Dataset,
        timeout_s=300,
    )
    run = train(clients, prometheus)
    evaluation = clients.wait(
        clients.evaluator.CreateEvaluation(
            evaluator_pb2.CreateEvaluationRequest(
                evaluation_id="e",
                run=run.name,
                metrics=[evaluator_pb2.METRIC_KERNEL],
                samples=16,
            )
        ),
        evaluator_pb2.Evaluation,
        timeout_s=300,
    )
    pictures = generator_pb2.GenerateImagesRequest(network=run.best_snapshot, seeds=range(24))
    assert len(list(clients.generator.GenerateImages(pictures, timeout=120))) == 24
    return collection, dataset, run, evaluation


def test_every_metric_that_is_named_is_found(watched: Watched) -> None:
    named = {name for expression in expressions() for name in expression.metrics}
    missing = {name for name in named - NEEDS_A_GPU if not watched.series(name)}
    assert not missing
    for name in NEEDS_A_GPU:
        assert watched.prometheus.ask("metadata", metric=name)[name][0]["type"] == "gauge"


def test_every_metric_of_a_run_is_shown_somewhere(watched: Watched) -> None:
    """Nobody should have to know of a number that no dashboard and no alert uses."""
    named = {name for expression in expressions() for name in expression.metrics}
    ours = {
        name
        for name in watched.prometheus.ask("label/__name__/values")
        if name.startswith("tagloom_") and not name.endswith(("_bucket", "_sum", "_count"))
    }
    assert ours <= named


@pytest.mark.parametrize("expression", expressions(), ids=lambda entry: entry.where)
def test_every_panel_has_something_to_show(watched: Watched, expression: Expression) -> None:
    found = watched.over_time(expression.text)  # raises what Prometheus thinks is wrong with it
    is_alert = ".json: " not in expression.where
    excused = is_alert or expression.where in EMPTY_IN_GOOD_TIMES
    if not excused and not expression.metrics & NEEDS_A_GPU:
        assert found, "a panel that stays empty"


def test_no_alert_fires_while_all_is_well(watched: Watched) -> None:
    rules = [rule for group in watched.prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == {
        entry.where.partition(": ")[2] for entry in expressions() if ".json" not in entry.where
    }
    assert {rule["health"] for rule in rules} == {"ok"}
    alerts = watched.prometheus.ask("alerts")["alerts"]
    firing = {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}
    assert firing <= {"TagloomStoreSlow"}, "which is true on a machine that is busy otherwise"


def test_what_is_excused_is_there() -> None:
    assert {entry.where for entry in expressions()} >= EMPTY_IN_GOOD_TIMES


def test_what_prometheus_saw_is_what_happened(watched: Watched) -> None:
    run, largest = watched.run, watched.largest
    assert run.state == trainer_pb2.Run.STATE_STOPPED
    assert 400 <= largest("tagloom_training_images_seen") <= run.images_seen
    assert 0.4 <= largest("tagloom_training_tick_kimg") <= run.images_seen / 1000
    assert largest("tagloom_training_images_wanted") == 8000
    assert largest("tagloom_training_snapshot_interval_images") == 400
    for name in ("peak_memory_bytes", "seconds_per_kimg", "snapshot_score", "g_gradient_norm"):
        assert largest(f"tagloom_training_{name}") > 0
    assert not watched.prometheus.query("tagloom_training_images_seen"), "outlived its run"
    assert largest('tagloom_training_runs_ended_total{outcome="stopped"}') == 1
    stored = 'tagloom_scraper_items_total{source="folder",state="stored"}'
    assert largest(stored) == watched.collection.stored_count == 4
    kept = 'tagloom_filter_images_total{verdict="kept"}'
    assert largest(kept) == watched.dataset.kept_count == 2
    assert largest("tagloom_evaluator_snapshots_total") == len(watched.evaluation.snapshots)
    assert largest("tagloom_generator_images_total") == 24
    assert largest("tagloom_scraper_paused_until_timestamp_seconds") > watched.begin
    assert largest("sum(tagloom_store_failures_total)") == 0


def test_the_store_counts_what_workers_ask_of_it_too(watched: Watched) -> None:
    """Photos are read in processes below processes; MinIO saw each of these requests."""
    ours = watched.largest('tagloom_store_request_seconds_count{request="get"}')
    # The training process and its scorer read by themselves: MinIO sees those besides.
    assert ours > 0
    expected = ours - watched.collection.stored_count
    deadline = time.monotonic() + 30  # MinIO counts anew only every ten seconds
    while (theirs := watched.now('minio_s3_requests_total{api="getobject"}')) < expected:
        assert time.monotonic() < deadline, (ours, theirs)
        time.sleep(1)


def test_promtool_finds_no_fault_with_the_names(watched: Watched) -> None:
    code, output = run_promtool("check", "metrics", cwd=ROOT, stdin=watched.page)
    faults = [
        line
        for line in output.splitlines()
        if line.startswith(("tagloom_", "error")) and "kimg" not in line
    ]
    assert not faults
    assert code in (0, 3), output  # 3: remarks, on other people's names


def test_labels_are_few_and_nobody_elses(watched: Watched) -> None:
    """No label grows with use, but the run's on its own gauges."""
    for name in watched.prometheus.ask("label/__name__/values"):
        if not name.startswith("tagloom_"):
            continue
        series = watched.series(name)
        labels = {label for one in series for label in one} - {"__name__", "job", "instance", "app"}
        if name.startswith("tagloom_training_") and "run" in labels:
            assert len({one["run"] for one in series}) == 1
        else:
            assert "run" not in labels
        assert not {label for label in labels if label.startswith("exported_")}
        assert len(series) <= 150, (name, len(series))
