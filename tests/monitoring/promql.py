"""Every PromQL expression of the dashboards and rules, and the metrics that it names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser
import yaml

from tools.monitoring.__main__ import COMPONENT

__all__ = ["Expression", "expressions", "metrics_of"]

_VARIABLES = {"$__rate_interval": "1m", "$__range": "1h", "$run": ".*", "$experiment": ".*"}


@dataclass(frozen=True)
class Expression:
    """One expression, Grafana's variables filled in."""

    where: str
    """file and panel or alert, for messages"""
    text: str

    @property
    def metrics(self) -> set[str]:
        return metrics_of(self.text)


def expressions() -> list[Expression]:
    """All of them, as they lie in the component."""
    return [*_of_rules(), *_of_dashboards()]


def metrics_of(expression: str) -> set[str]:
    """The names of the series that an expression selects."""
    found: set[str] = set()

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            assert node.name, f"a selector without a metric's name in {expression}"
            found.add(node.name)
        return True

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def _of_rules() -> Iterator[Expression]:
    for path in sorted((COMPONENT / "rules").glob("*.yaml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                yield Expression(f"{path.name}: {rule['alert']}", rule["expr"])


def _of_dashboards() -> Iterator[Expression]:
    for path in sorted((COMPONENT / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                text = target["expr"]
                for name, value in _VARIABLES.items():
                    text = text.replace(name, value)
                assert "$" not in text, f"an unknown variable in {text}"
                yield Expression(f"{path.name}: {panel['title']} {target['refId']}", text)
