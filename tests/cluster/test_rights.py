"""Who may do what, as the real authorizer tells it: all rules that it knows of for each account."""

from __future__ import annotations

import json
from typing import Any

import pytest
from live_cluster import Cluster

from tests.k8s.manifests import one, overlay

ACCOUNTS = (
    "scraper",
    "filter",
    "trainer",
    "evaluator",
    "generator",
    "training",
    "experiment",
    "minio",
    "minio-provision",
    "default",
)
# What a cluster lets everybody ask: about themselves.
ANYBODY = {
    ("create", "authorization.k8s.io", "selfsubjectaccessreviews"),
    ("create", "authorization.k8s.io", "selfsubjectrulesreviews"),
    ("create", "authentication.k8s.io", "selfsubjectreviews"),
}


@pytest.fixture(scope="module")
def cluster(control_plane: Cluster) -> Cluster:
    control_plane.run("k8s/create-secrets")
    control_plane.kubectl("apply", "--server-side", "-k", "k8s/overlays/single-node")
    return control_plane


def rights(cluster: Cluster, account: str, namespace: str) -> set[tuple[str, str, str]]:
    """(verb, group, resource) of everything that the account may do there."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    # Raw: the account may not read the schemas that kubectl would look at first.
    raw = ("--raw", f"/apis/{review['apiVersion']}/selfsubjectrulesreviews", "-f", "-")
    as_account = f"--as=system:serviceaccount:tagloom:{account}"
    said = cluster.kubectl("create", *raw, as_account, stdin=json.dumps(review))
    answer: Any = json.loads(said)
    assert answer["status"]["incomplete"] is False
    return {
        (verb, group, resource)
        for rule in answer["status"]["resourceRules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def granted() -> set[tuple[str, str, str]]:
    """What the rendered Role gives."""
    rules = one(overlay("single-node"), "Role", "trainer")["rules"]
    return {
        (verb, group, resource)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("account", ACCOUNTS)
def test_each_account_may_do_what_it_needs_and_nothing_else(cluster: Cluster, account: str) -> None:
    needed = granted() if account == "trainer" else set()
    assert rights(cluster, account, "tagloom") - ANYBODY == needed
    assert rights(cluster, account, "default") - ANYBODY == set()


@pytest.mark.parametrize(
    ("answer", "account", "namespace", "question"),
    [
        ("yes", "trainer", "tagloom", "create jobs.batch"),
        ("yes", "trainer", "tagloom", "delete jobs.batch/train-cats"),
        ("yes", "trainer", "tagloom", "watch pods"),
        ("yes", "trainer", "tagloom", "list events"),
        ("no", "trainer", "default", "create jobs.batch"),
        ("no", "trainer", "tagloom", "update jobs.batch"),
        ("no", "trainer", "tagloom", "get secrets"),
        ("no", "trainer", "tagloom", "get pods --subresource=log"),
        ("no", "trainer", "tagloom", "create pods --subresource=exec"),
        ("no", "trainer", "tagloom", "create pods"),
        ("no", "trainer", "tagloom", "create serviceaccounts --subresource=token"),
        ("no", "trainer", "tagloom", "* *"),
        ("no", "trainer", "tagloom", "list namespaces"),
        ("no", "filter", "tagloom", "create jobs.batch"),
        ("no", "training", "tagloom", "get configmaps"),
        ("no", "default", "tagloom", "list pods"),
    ],
)
def test_kubectl_says_the_same(
    cluster: Cluster, answer: str, account: str, namespace: str, question: str
) -> None:
    as_account = (f"--as=system:serviceaccount:tagloom:{account}", "-n", namespace)
    said = cluster.kubectl("auth", "can-i", *question.split(), *as_account, check=False)
    assert said.strip() == answer


def test_pods_have_no_token_but_the_trainers(cluster: Cluster) -> None:
    def pods() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = cluster.get("pods", "-n", "tagloom")["items"]
        return found

    cluster.wait("a pod for each service", lambda: len(pods()) >= 6)
    mounted = set()
    for pod in pods():
        for volume in pod["spec"].get("volumes", ()):
            for source in volume.get("projected", {}).get("sources", ()):
                if "serviceAccountToken" in source:
                    assert source["serviceAccountToken"]["expirationSeconds"] <= 3600
                    mounted.add(pod["metadata"]["labels"]["app.kubernetes.io/name"])
    assert mounted == {"trainer"}
