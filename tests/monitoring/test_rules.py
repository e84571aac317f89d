"""Each alert fires when it should, with the sentence that it should, and is silent otherwise.

Prometheus's own promtool plays the series; its time begins at 0, one sample a minute.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_server import run_promtool

from tools.monitoring.__main__ import COMPONENT

ROOT = Path(__file__).resolve().parents[2]
RULES = {
    rule["alert"]: (path, rule)
    for path in sorted((COMPONENT / "rules").glob("*.yaml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
}


@dataclass(frozen=True)
class Fires:
    """Series that raise an alert at a minute, its labels, and its summary as a person reads it."""

    alert: str
    series: dict[str, str]
    at: str
    labels: dict[str, str]
    summary: str
    description: str = ""
    """where it is not the same for all"""


@dataclass(frozen=True)
class Silent:
    """Series that look like trouble, and are none for this alert at a minute."""

    alert: str
    series: dict[str, str]
    at: str
    why: str = field(default="", compare=False)


def training(name: str, run: str = "r", **labels: str) -> str:
    text = ",".join(f'{key}="{value}"' for key, value in {"run": run, **labels}.items())
    return f"tagloom_training_{name}{{{text}}}"


CALL = 'job="tagloom",grpc_service="tagloom.v1.FilterService",grpc_method="GetDataset"'
CALLS = f"grpc_server_handled_total{{{CALL},grpc_code=%s}}"
ENDED = 'tagloom_operations_ended_total{service="filter",method="CreateDataset",outcome="%s"}'
QUEUED = 'tagloom_operations_queued{service="filter"}'
OLDEST = 'tagloom_operations_oldest_queued_timestamp_seconds{service="%s"}'
FAILURES = 'tagloom_store_failures_total{request="get",reason="%s"}'
BUCKET = 'tagloom_store_request_seconds_bucket{request="put",le="%s"}'
SPACE = 'minio_cluster_capacity_usable_%s_bytes{job="tagloom-minio"}'
RUNS_ENDED = 'tagloom_training_runs_ended_total{outcome="%s"}'

FIRES = [
    Fires(
        "TagloomServiceDown",
        {'up{job="tagloom",instance="trainer-0"}': "1x5 0x10"},
        "8m",
        {"job": "tagloom", "instance": "trainer-0"},
        "trainer-0 does not answer Prometheus.",
    ),
    Fires(
        "TagloomServiceGone",
        {
            'tagloom_operations_running{service="filter",instance="a"}': "0x20",
            'tagloom_operations_running{service="trainer",instance="b"}': "1x60",
        },
        "40m",
        {"service": "filter"},
        "No server of filter is left.",
    ),
    Fires(
        "TagloomServiceNotReady",
        {'tagloom_server_ready{instance="a"}': "1x3 0x10"},
        "6m",
        {"instance": "a"},
        "a runs, but is not ready.",
    ),
    Fires(
        "TagloomCallsFailing",
        {CALLS % '"OK"': "0+90x40", CALLS % '"INTERNAL"': "0+10x40"},
        "20m",
        {"grpc_service": "tagloom.v1.FilterService", "grpc_method": "GetDataset"},
        "10% of the calls of GetDataset fail.",
    ),
    Fires(
        "TagloomOperationsFailing",
        {ENDED % "failed": "0x5 1 2 3 3x60", ENDED % "succeeded": "0x20 1x60"},
        "61m",
        {"service": "filter", "method": "CreateDataset"},
        "CreateDataset failed 3 times within the hour.",
    ),
    Fires(
        "TagloomOperationsBacklog",
        {OLDEST % "filter": "0x40"},
        "36m",
        {"service": "filter"},
        "An operation of filter has waited for 36m 0s.",
    ),
    Fires(
        "TagloomOperationsNotTaken",
        {
            f'{QUEUED[:-1]},instance="a"}}': "2x20",
            f'{QUEUED[:-1]},instance="b"}}': "2x20",
            'tagloom_operations_running{service="filter"}': "0x20",
        },
        "11m",
        {"service": "filter"},
        "2 operations of filter wait, and nobody works on any.",
    ),
    Fires(
        "TagloomStoreErrors",
        {FAILURES % "unavailable": "0+2x30"},
        "15m",
        {"reason": "unavailable"},
        "20 requests to the object store failed within 10 minutes (unavailable).",
    ),
    Fires(
        "TagloomStoreFull", {FAILURES % "full": "0x10 1x10"}, "12m", {}, "The object store is full."
    ),
    Fires(
        "TagloomStoreSlow",
        {BUCKET % "1.0": "0x60", BUCKET % "2.5": "0+10x60", BUCKET % "+Inf": "0+10x60"},
        "30m",
        {"request": "put"},
        "5 % of the put requests to the object store take more than 2.425s.",
    ),
    Fires(
        "TagloomStoreNearlyFull",
        {SPACE % "free": "5x20", SPACE % "total": "100x20"},
        "11m",
        {"job": "tagloom-minio"},
        "MinIO has 5% of its space left.",
    ),
    Fires(
        "TagloomRunNotStarted",
        {training("start_timestamp_seconds"): "0x60"},
        "32m",
        {"run": "r"},
        "r has waited for 32m 0s to be trained.",
    ),
    Fires(
        "TagloomRunStalled",
        {training("last_progress_timestamp_seconds"): "0x60"},
        "17m",
        {"run": "r"},
        "r has written no progress for 17m 0s.",
    ),
    Fires(
        "TagloomNoSnapshot",
        {
            training("last_snapshot_timestamp_seconds"): "0x60",
            training("start_timestamp_seconds"): "600x60",
            training("snapshot_interval_images"): "4000x60",
            training("seconds_per_kimg"): "100x60",
        },
        "52m",  # half an hour, and three times the 400 s that a snapshot takes
        {"run": "r"},
        "r has made no snapshot for 52m 0s.",
    ),
    Fires(
        "TagloomNoSnapshot",
        {
            training("start_timestamp_seconds"): "0x60",  # and none since
            training("snapshot_interval_images"): "4000x60",
            training("seconds_per_kimg"): "100x60",
        },
        "52m",
        {"run": "r"},
        "r has made no snapshot for 52m 0s.",
    ),
    Fires(
        "TagloomScoreRising",
        {training("score_rises"): "0 1 2 3 4 4"},
        "4m",
        {"run": "r"},
        "The last 4 snapshots of r got worse, one after the other.",
    ),
    Fires(
        "TagloomAugmentationAtLimit",
        {training("augment_probability_ratio"): "0.9x5 1x20"},
        "22m",
        {"run": "r"},
        "The augmentation of r is at its limit, p = 1.",
    ),
    Fires(
        "TagloomNonFiniteUpdates",
        {training("updates_left_out"): "0x5 1x30"},
        "8m",
        {"run": "r"},
        "r leaves out updates, because their gradients are not finite.",
    ),
    Fires(  # from its first tick on, so that the count never grew in Prometheus's sight
        "TagloomNonFiniteUpdates",
        {training("updates_left_out"): "3x5", training("alarm", kind="not_finite"): "1x5"},
        "1m",
        {"run": "r"},
        "r leaves out updates, because their gradients are not finite.",
    ),
    Fires(
        "TagloomTrainingDegenerates",
        {training("alarm", kind="mode_collapse"): "1x10"},
        "6m",
        {"run": "r", "kind": "mode_collapse"},
        "r raises the alarm mode_collapse.",
        "The run's own words for it are in `tagloom get runs/r`.",
    ),
    Fires(
        "TagloomGpuMemoryNearFull",
        {
            training("gpu_memory_free_bytes"): "2e9x20",
            training("gpu_memory_total_bytes"): "80e9x20",
        },
        "11m",
        {"run": "r"},
        "97.5% of the memory of r's GPU is taken.",
    ),
    Fires(
        "TagloomTrainingRestarts",
        {"tagloom_training_restarts_total": "0x5 1 2 3 3x60"},
        "61m",
        {},
        "Training processes died 3 times within the hour.",
    ),
    Fires(
        "TagloomRunFailed",
        {RUNS_ENDED % "failed": "0x5 1x80"},
        "7m",
        {},
        "A training ended with an error.",
    ),
    Fires(
        "TagloomScraperLockedOut",
        {
            'tagloom_scraper_locked_out{reason="challenge"}': "0x3 1x5",
            'tagloom_scraper_locked_out{reason="forbidden"}': "0x9",
        },
        "5m",
        {"reason": "challenge"},
        "Instagram refuses the scraper (challenge).",
    ),
    Fires(
        "TagloomScraperPaused",
        {"tagloom_scraper_paused_until_timestamp_seconds": "7200x40"},
        "30m",
        {},
        "The scraper has been waiting for half an hour, because Instagram limits its requests.",
        "It goes on by itself in 1h 30m 0s.",
    ),
]

SILENT = [
    Silent("TagloomServiceDown", {'up{job="tagloom",instance="a"}': "1x5 0x10"}, "7m",
           "a restart takes a minute"),
    Silent("TagloomServiceDown", {'up{job="other",instance="a"}': "0x10"}, "8m", "not ours"),
    Silent("TagloomServiceGone",
           {'tagloom_operations_running{service="filter",instance="a"}': "0x20",
            'tagloom_operations_running{service="filter",instance="b"}': "_x20 0x60"},
           "40m", "another pod took over"),
    Silent("TagloomServiceNotReady", {'tagloom_server_ready{instance="a"}': "1x3 0 1x6"}, "5m",
           "a moment only"),
    Silent("TagloomCallsFailing",
           {CALLS % '"OK"': "0+50x40", CALLS % '"NOT_FOUND"': "0+50x40",
            CALLS % '"INTERNAL"': "0+1x40"}, "30m", "callers ask for what is not there"),
    Silent("TagloomOperationsFailing",
           {ENDED % "failed": "0x5 1 2 3 3x60", ENDED % "succeeded": "0+1x70"}, "61m",
           "most succeed"),
    Silent("TagloomOperationsFailing", {ENDED % "failed": "0x5 1 2 2x60"}, "61m", "only two"),
    Silent("TagloomOperationsBacklog", {OLDEST % "trainer": "0x40"}, "39m", "trainings queue"),
    Silent("TagloomOperationsBacklog", {OLDEST % "filter": "NaN " * 40}, "39m", "nothing waits"),
    Silent("TagloomOperationsNotTaken",
           {QUEUED: "2x20", 'tagloom_operations_running{service="filter",instance="a"}': "0x20",
            'tagloom_operations_running{service="filter",instance="b"}': "1x20"},
           "15m", "one server works"),
    Silent("TagloomStoreErrors",
           {FAILURES % "unavailable": "0 0 1 2 3 3x30", FAILURES % "full": "0+2x30"}, "9m",
           "a few, and another alert's"),
    Silent("TagloomStoreFull", {FAILURES % "full": "0x10 1x40"}, "40m", "it was, long ago"),
    Silent("TagloomStoreSlow",
           {BUCKET % "1.0": "0+10x60", BUCKET % "2.5": "0+10x60", BUCKET % "+Inf": "0+10x60"},
           "30m", "fast enough"),
    Silent("TagloomStoreNearlyFull", {SPACE % "free": "50x20", SPACE % "total": "100x20"}, "15m",
           "half is free"),
    Silent("TagloomRunNotStarted",
           {training("start_timestamp_seconds"): "0x60",
            training("last_progress_timestamp_seconds"): "60x60"}, "40m",
           "it trains: whether it goes on is another alert's business"),
    Silent("TagloomRunNotStarted", {training("start_timestamp_seconds"): "0x60"}, "29m",
           "nodes may have to be started"),
    Silent("TagloomRunStalled", {training("last_progress_timestamp_seconds"): "0+60x60"}, "40m",
           "it goes on"),
    Silent("TagloomRunStalled", {training("last_progress_timestamp_seconds"): "0x16"}, "30m",
           "it has ended, and its gauges with it"),
    Silent("TagloomNoSnapshot",
           {training("last_snapshot_timestamp_seconds"): "0x60",
            training("start_timestamp_seconds"): "0x60",
            training("snapshot_interval_images"): "4000x60",
            training("seconds_per_kimg"): "1000x60"}, "59m", "a slow run takes its time"),
    Silent("TagloomNoSnapshot",
           {training("last_snapshot_timestamp_seconds"): "0+60x60",
            training("start_timestamp_seconds"): "0x60",
            training("snapshot_interval_images"): "4000x60",
            training("seconds_per_kimg"): "10x60"}, "59m", "there is one a minute"),
    Silent("TagloomScoreRising", {training("score_rises"): "0 1 2 3 0"}, "4m",
           "the fourth was better"),
    Silent("TagloomAugmentationAtLimit", {training("augment_probability_ratio"): "0.9x30"}, "20m",
           "high, but not at its limit"),
    Silent("TagloomNonFiniteUpdates",
           {training("updates_left_out"): "0x5 1x30", training("alarm", kind="not_finite"): "0x40"},
           "25m", "one, long ago"),
    Silent("TagloomTrainingDegenerates",
           {training("alarm", kind="mode_collapse"): "0x10",
            training("alarm", kind="runaway_p"): "1x10"}, "8m", "another alert's business"),
    Silent("TagloomGpuMemoryNearFull",
           {training("gpu_memory_free_bytes"): "10e9x20",
            training("gpu_memory_total_bytes"): "80e9x20"}, "15m", "an eighth is free"),
    Silent("TagloomTrainingRestarts", {"tagloom_training_restarts_total": "0x5 1 2 2x60"}, "61m",
           "two deaths are luck"),
    Silent("TagloomRunFailed",
           {RUNS_ENDED % "failed": "0x80", RUNS_ENDED % "handed_back": "0+1x80",
            RUNS_ENDED % "stopped": "0+1x80"}, "60m", "stopped, or handed to the next server"),
    Silent("TagloomScraperLockedOut",
           {'tagloom_scraper_locked_out{reason="challenge"}': "1x3 0x5"}, "5m", "it works again"),
    Silent("TagloomScraperPaused",
           {"tagloom_scraper_paused_until_timestamp_seconds": "0x40"}, "35m", "never"),
    Silent("TagloomScraperPaused",
           {"tagloom_scraper_paused_until_timestamp_seconds": "1200x40"}, "35m", "over"),
]  # fmt: skip


def check(tmp_path: Path, case: Fires | Silent) -> None:
    path, rule = RULES[case.alert]
    expected: list[dict[str, Any]] = []
    if isinstance(case, Fires):
        annotations = {**rule["annotations"], "summary": case.summary}
        if case.description:
            annotations["description"] = case.description
        labels = {**rule["labels"], **case.labels}
        expected.append({"exp_labels": labels, "exp_annotations": annotations})
    test = {
        "rule_files": [str(path)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": values} for name, values in case.series.items()
                ],
                "alert_rule_test": [
                    {"eval_time": case.at, "alertname": case.alert, "exp_alerts": expected}
                ],
            }
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(json.dumps(test))  # JSON is YAML
    code, output = run_promtool("test", "rules", str(file), cwd=tmp_path)
    assert code == 0, output


@pytest.mark.prometheus
@pytest.mark.parametrize("case", FIRES, ids=lambda case: case.alert)
def test_it_fires(tmp_path: Path, case: Fires) -> None:
    check(tmp_path, case)


@pytest.mark.prometheus
@pytest.mark.parametrize("case", SILENT, ids=lambda case: f"{case.alert}: {case.why}")
def test_it_is_silent(tmp_path: Path, case: Silent) -> None:
    check(tmp_path, case)


def test_every_alert_is_tried_both_ways() -> None:
    assert {case.alert for case in FIRES} == set(RULES)
    assert {case.alert for case in SILENT} == set(RULES)


@pytest.mark.parametrize("alert", RULES)
def test_every_alert_says_how_bad_it_is_and_has_a_page(alert: str) -> None:
    _, rule = RULES[alert]
    assert rule["labels"] in ({"severity": level} for level in ("critical", "warning", "info"))
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["summary"].endswith(".")
    page = ROOT / rule["annotations"]["runbook_url"]
    assert page == ROOT / "docs" / "runbook" / f"{alert}.md"
    text = page.read_text()
    assert text.startswith(f"# {alert}\n")
    for heading in ("## What it means", "## Look", "## Do"):
        assert f"\n{heading}\n" in text
    assert "tagloom " in text or "kubectl " in text, "no command to begin with"


def test_every_page_has_its_alert() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "runbook").glob("Tagloom*.md")}
    assert pages == set(RULES)


@pytest.mark.prometheus
def test_the_one_machine_configuration_is_valid() -> None:
    config = ROOT / "examples" / "monitoring" / "prometheus.yml"
    code, output = run_promtool("check", "config", str(config), cwd=ROOT)
    assert code == 0, output
    assert output.count("rules found") == len(list((COMPONENT / "rules").glob("*.yaml")))
