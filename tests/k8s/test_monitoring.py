"""The monitoring component finds the pods that there are, and what it says fits one machine too."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from tests.k8s.manifests import (
    EVERYTHING,
    ROOT,
    SERVICES,
    Manifest,
    find,
    one,
    pod_templates,
    render,
)
from tests.k8s.network import selects
from tools.monitoring.__main__ import DASHBOARDS


@pytest.fixture(scope="module")
def objects() -> tuple[Manifest, ...]:
    return render(EVERYTHING)


def targets(objects: tuple[Manifest, ...], monitor: str) -> dict[str, dict[str, Any]]:
    """By name: labels and the port of each pod that a PodMonitor has Prometheus scrape."""
    spec = one(objects, "PodMonitor", monitor)["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]
    found = {}
    for owner, template in pod_templates(objects):
        labels = template["metadata"].get("labels", {})
        if not selects(spec["selector"], labels):
            continue
        ports = {
            port["name"]: port["containerPort"]
            for container in template["spec"]["containers"]
            for port in container.get("ports", ())
        }
        assert endpoint["port"] in ports, f"{owner['metadata']['name']} has no such port"
        found[owner["metadata"]["name"]] = {"labels": labels, "port": ports[endpoint["port"]]}
    return found


def test_every_service_is_scraped_and_nothing_else(objects: tuple[Manifest, ...]) -> None:
    found = targets(objects, "tagloom")
    assert set(found) == set(SERVICES)
    assert {each["port"] for each in found.values()} == {9464}


def test_minio_is_scraped(objects: tuple[Manifest, ...]) -> None:
    assert {name: each["port"] for name, each in targets(objects, "tagloom-minio").items()} == {
        "minio": 9000
    }
    (container,) = one(objects, "StatefulSet", "minio")["spec"]["template"]["spec"]["containers"]
    values = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert values["MINIO_PROMETHEUS_AUTH_TYPE"] == "public"


def test_jobs_are_called_as_on_one_machine(objects: tuple[Manifest, ...]) -> None:
    """Rules and dashboards ask for job="tagloom" and job="tagloom-minio"."""
    ours = one(objects, "PodMonitor", "tagloom")["spec"]
    called = {each["labels"][ours["jobLabel"]] for each in targets(objects, "tagloom").values()}
    (endpoint,) = one(objects, "PodMonitor", "tagloom-minio")["spec"]["podMetricsEndpoints"]
    relabeled = {each["targetLabel"]: each.get("replacement") for each in endpoint["relabelings"]}
    called.add(relabeled["job"])
    config = (ROOT / "examples" / "monitoring" / "prometheus.yml").read_text()
    assert called == set(re.findall(r"job_name: (\S+)", config)) == {"tagloom", "tagloom-minio"}
    named = set(re.findall(r'job="([^"]+)"', json.dumps(find(objects, "PrometheusRule"))
                           .replace('\\"', '"')))  # fmt: skip
    assert named == called


def test_no_label_of_ours_is_taken_by_the_operator(objects: tuple[Manifest, ...]) -> None:
    """It adds these to a pod's series; one of ours of that name would be renamed exported_…."""
    added = {"namespace", "pod", "container", "endpoint", "job", "instance", "app"}
    rules = [
        rule
        for path in (ROOT / "k8s" / "components" / "monitoring" / "rules").glob("*.yaml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]
    grouped = {
        label.strip()
        for rule in rules
        for labels in re.findall(r"(?:by|on) ?\(([^)]*)\)", rule["expr"])
        for label in labels.split(",")
    }
    assert grouped
    assert not grouped & added
    for monitor in find(objects, "PodMonitor"):
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        set_here = {each["targetLabel"] for each in endpoint["relabelings"]}
        assert set_here <= added


def test_grafana_finds_every_dashboard(objects: tuple[Manifest, ...]) -> None:
    found = one(objects, "ConfigMap", "tagloom-dashboards")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert set(found["data"]) == {f"{name}.json" for name in DASHBOARDS}
    for name in DASHBOARDS:
        assert json.loads(found["data"][f"{name}.json"])["uid"] == f"tagloom-{name}"


def test_grafana_is_told_of_every_dashboard_on_one_machine() -> None:
    folder = ROOT / "examples" / "monitoring" / "grafana"
    (provider,) = yaml.safe_load((folder / "dashboards" / "tagloom.yaml").read_text())["providers"]
    assert provider["options"]["path"] == "$TAGLOOM_DASHBOARDS"
    page = (ROOT / "docs" / "monitoring.md").read_text()
    (path,) = re.findall(r"export TAGLOOM_DASHBOARDS=\$PWD/(\S+)", page)
    assert {each.stem for each in (ROOT / path).iterdir()} == set(DASHBOARDS)
