"""The trainer's Role is what its launchers ask the API server for: read off their code."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from services.trainer.launch.cluster import EVENT, JOB, POD, TRAIN_JOB, Cluster, Kind
from tests.k8s.manifests import ROOT, one, overlay

LAUNCH = ROOT / "services" / "trainer" / "launch"
VERBS = {
    "create": {"create"},
    "read": {"get"},
    "delete": {"delete"},
    "list": {"list"},
    "watch": {"watch"},
}
WORKLOADS = (JOB, TRAIN_JOB)
"""what `kind.kind` of a workload may be"""


def calls() -> Iterator[tuple[str, str]]:
    """(method, first argument) of every call on a cluster, and of every Mirror that is made."""
    for path in LAUNCH.glob("*.py"):
        if path.name == "mirror.py":
            continue  # its own calls are counted where one is made
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            target = ast.unparse(node.func)
            if target == "Mirror":
                yield "mirror", ast.unparse(node.args[1])
            elif isinstance(node.func, ast.Attribute) and target.split(".")[-2:-1] in (
                ["cluster"],
                ["_cluster"],
            ):
                yield node.func.attr, ast.unparse(node.args[0]) if node.args else ""


def test_every_call_is_one_that_this_test_understands() -> None:
    asking = {name for name in vars(Cluster) if not name.startswith("_")} - {"connect"}
    assert set(VERBS) == {name for name in asking if callable(getattr(Cluster, name))}


def test_the_role_is_what_the_code_asks_for() -> None:
    needed: set[tuple[str, str, str]] = set()

    def need(kinds: tuple[Kind, ...], verbs: set[str]) -> None:
        for kind in kinds:
            group = kind.api.split("/")[2] if kind.api.startswith("/apis/") else ""
            needed.update((group, kind.plural, verb) for verb in verbs)

    named = {"POD": (POD,), "EVENT": (EVENT,)}
    for method, argument in calls():
        workload = argument in ("kind.kind", "self.kind.kind", "self._kind")
        kinds = named.get(argument) or (WORKLOADS if workload else None)
        assert kinds, f"{method}({argument})"
        need(kinds, {"list", "watch"} if method == "mirror" else VERBS[method])
    rules = one(overlay("single-node"), "Role", "trainer")["rules"]
    given = {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert given == needed
