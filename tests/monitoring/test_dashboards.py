"""The dashboards and the PrometheusRule are what the programs write, whole and readable."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.monitoring.promql import Expression, expressions, metrics_of
from tools.monitoring.__main__ import COMPONENT, DASHBOARDS, dashboard_files, rules_manifest

BOARDS = {
    name: json.loads((COMPONENT / "dashboards" / f"{name}.json").read_text()) for name in DASHBOARDS
}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def test_what_is_committed_is_what_the_programs_write() -> None:
    written = {path.name: path.read_text() for path in (COMPONENT / "dashboards").iterdir()}
    assert written == dashboard_files(), "run python -m tools.monitoring"
    manifest = (COMPONENT / "prometheusrule.yaml").read_text()
    assert manifest == rules_manifest(), "run python -m tools.monitoring"


def test_the_operators_rules_are_the_plain_ones() -> None:
    manifest = yaml.safe_load((COMPONENT / "prometheusrule.yaml").read_text())
    plain = [
        group
        for path in sorted((COMPONENT / "rules").glob("*.yaml"))
        for group in yaml.safe_load(path.read_text())["groups"]
    ]
    assert manifest["spec"]["groups"] == plain
    elsewhere = yaml.safe_load(rules_manifest("https://example.org/runbook"))
    urls = {
        rule["alert"]: rule["annotations"]["runbook_url"]
        for group in elsewhere["spec"]["groups"]
        for rule in group["rules"]
    }
    assert all(url == f"https://example.org/runbook/{alert}.md" for alert, url in urls.items())


@pytest.mark.parametrize("name", BOARDS)
def test_grafanas_types_read_all_of_it(name: str) -> None:
    """The SDK's types are generated from Grafana's schemas: nothing is lost on the way."""
    register_default_plugins()
    read = Dashboard.from_json(BOARDS[name])
    assert json.loads(JSONEncoder().encode(read)) == BOARDS[name]


@pytest.mark.parametrize("name", BOARDS)
def test_every_panel_can_be_understood_and_found(name: str) -> None:
    board = BOARDS[name]
    assert board["uid"] == f"tagloom-{name}"
    assert board["tags"] == ["tagloom"]
    titles = [panel["title"] for panel in panels(board)]
    assert len(set(titles)) == len(titles)
    for panel in panels(board):
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"], panel["title"]
        if panel["type"] != "table":
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, panel["title"]
        assert "description" in panel
    taken = [
        (x, y)
        for panel in board["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(taken)) == len(taken), "panels overlap"


def test_config_maps_can_hold_them() -> None:
    """A ConfigMap holds a megabyte, and all dashboards are in one."""
    assert sum(len(text.encode()) for text in dashboard_files().values()) < 900_000


@pytest.mark.parametrize("expression", expressions(), ids=lambda entry: entry.where)
def test_every_expression_names_metrics_of_ours(expression: Expression) -> None:
    prefixes = ("tagloom_", "grpc_server_", "process_", "minio_", "up")
    assert expression.metrics
    assert all(name.startswith(prefixes) for name in expression.metrics)


def test_metrics_are_found_wherever_they_stand() -> None:
    text = "time() - max by (run) (a{x='y'} or b offset 5m) > 1800 + rate(c_total[5m:1m]) and -d"
    assert metrics_of(text) == {"a", "b", "c_total", "d"}
