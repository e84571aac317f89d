"""Writes k8s/components/monitoring's dashboards (JSON) and PrometheusRule again.

    python -m tools.monitoring [--runbook-base https://git.example.org/tagloom/docs/runbook]

The rules are written by hand, as plain files that any Prometheus reads (`rules/`); the Prometheus
operator wants the same within one of its resources.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from tools.monitoring.services import services_board
from tools.monitoring.store import store_board
from tools.monitoring.training import experiment_board, training_board

__all__ = ["COMPONENT", "DASHBOARDS", "dashboard_files", "main", "rules_manifest"]

COMPONENT = Path(__file__).resolve().parents[2] / "k8s" / "components" / "monitoring"
DASHBOARDS = {
    "experiment": experiment_board,
    "training": training_board,
    "services": services_board,
    "store": store_board,
}
_RUNBOOK = "docs/runbook"
_NOTE = "# Written by `python -m tools.monitoring` from rules/: change those, and run it again.\n"


def dashboard_files() -> dict[str, str]:
    """The text of each file of dashboards/."""
    encoder = JSONEncoder(indent=1, sort_keys=True)
    return {
        f"{name}.json": encoder.encode(make().build()) + "\n" for name, make in DASHBOARDS.items()
    }


def rules_manifest(runbook: str = _RUNBOOK) -> str:
    """All rules as one PrometheusRule. runbook: URL or path of the folder of runbook pages."""
    groups: list[dict[str, Any]] = []
    for path in sorted((COMPONENT / "rules").glob("*.yaml")):
        groups += yaml.safe_load(path.read_text())["groups"]
    for group in groups:
        for rule in group["rules"]:
            page = rule["annotations"]["runbook_url"].rpartition("/")[2]
            rule["annotations"]["runbook_url"] = f"{runbook}/{page}"
    manifest = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "tagloom", "namespace": "tagloom"},
        "spec": {"groups": groups},
    }
    return _NOTE + yaml.safe_dump(manifest, sort_keys=False, width=120, allow_unicode=True)


def main(arguments: list[str] | None = None) -> int:
    """Writes the files; returns the exit code."""
    parser = argparse.ArgumentParser(description="Writes dashboards and rules.")
    parser.add_argument(
        "--runbook-base", default=_RUNBOOK, help="where docs/runbook can be read, as a URL"
    )
    given = parser.parse_args(arguments)
    folder = COMPONENT / "dashboards"
    folder.mkdir(exist_ok=True)
    for name, text in dashboard_files().items():
        (folder / name).write_text(text)
    (COMPONENT / "prometheusrule.yaml").write_text(rules_manifest(given.runbook_base.rstrip("/")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
