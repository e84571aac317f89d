"""The manifests before a real API server: taken without an error or a warning, and what follows.

Nodes are simulated, so every pod is ready at once; admission, scheduling, the controllers and RBAC
are real.
"""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_cluster import Cluster
from published_manifests import PROMETHEUS_OPERATOR, TRAINER, definitions

from tests.k8s.manifests import EVERYTHING, SERVICES, training_job

CRDS = Path(__file__).parent / "crds"
NEEDED = {"clustertrainingruntimes", "podmonitors", "prometheusrules"}
TIGHT = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.fixture(scope="module")
def cluster(control_plane: Cluster) -> Cluster:
    """With the definitions that the components' objects need, and a volume for each claim."""
    published = [path for each in (TRAINER, PROMETHEUS_OPERATOR) for path in definitions(each)]
    needed = [path for path in published if path.stem.rpartition("_")[2] in NEEDED]
    assert len(needed) == len(NEEDED)
    named = [f"--filename={path}" for path in [*needed, *CRDS.glob("*.yaml")]]
    control_plane.kubectl("apply", "--server-side", *named)

    def established() -> bool:
        # Not by `kubectl wait`, which takes a definition without any condition yet for an error.
        statuses = [each.get("status", {}) for each in control_plane.get("crds")["items"]]
        conditions = [{c["type"] for c in s.get("conditions") or ()} for s in statuses]
        return all("Established" in kinds for kinds in conditions)

    control_plane.wait("definitions in force", established)
    for name in ("one", "two"):
        control_plane.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": name},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "capacity": {"storage": "50Gi"},
                    "hostPath": {"path": f"/nowhere/{name}"},
                    "persistentVolumeReclaimPolicy": "Retain",
                },
            }
        )
    return control_plane


@pytest.fixture(scope="class")
def secrets(cluster: Cluster) -> Iterator[str]:
    """Made as the documentation says; the namespace is gone afterwards. What was printed."""
    done = cluster.run("k8s/create-secrets")
    assert done.stderr == ""
    yield done.stdout
    cluster.kubectl("delete", "namespace", "tagloom", "--timeout=120s")
    for volume in cluster.get("persistentvolumes")["items"]:  # free for the next claim
        forget = '[{"op": "remove", "path": "/spec/claimRef"}]'
        if "claimRef" in volume["spec"]:
            cluster.kubectl("patch", "pv", volume["metadata"]["name"], "--type=json", "-p", forget)


class TestKeys:
    def test_keys_of_ones_own(self, cluster: Cluster) -> None:
        try:
            cluster.run("k8s/create-secrets", MINIO_ACCESS_KEY="mine", MINIO_SECRET_KEY='a "$`\\ b')
            kept = cluster.get("secrets", "-n", "tagloom")["items"]
            assert {each["metadata"]["name"] for each in kept} == {"tagloom-store", "tagloom-token"}
            data = cluster.get("secret", "tagloom-store", "-n", "tagloom")["data"]
            assert base64.b64decode(data["MINIO_ACCESS_KEY"]) == b"mine"
            assert base64.b64decode(data["MINIO_SECRET_KEY"]) == b'a "$`\\ b'
        finally:
            cluster.kubectl("delete", "namespace", "tagloom", "--timeout=120s")

    def test_no_rights_no_secrets(self, cluster: Cluster) -> None:
        nobody = "kubectl --as=system:serviceaccount:default:default"
        refused = cluster.run("k8s/create-secrets", check=False, KUBECTL=nobody)
        assert refused.returncode != 0
        assert "namespaces" in refused.stderr
        assert "forbidden" in refused.stderr


class TestSecrets:
    def test_they_are_made_once_and_told_to_nobody(self, cluster: Cluster, secrets: str) -> None:
        def values() -> dict[str, str]:
            kept = cluster.get("secrets", "-n", "tagloom")["items"]
            return {
                f"{each['metadata']['name']}/{key}": base64.b64decode(value).decode()
                for each in kept
                for key, value in each["data"].items()
            }

        first = values()
        assert set(first) == {
            "tagloom-token/token",
            "tagloom-store/MINIO_ACCESS_KEY",
            "tagloom-store/MINIO_SECRET_KEY",
            "minio-root/MINIO_ROOT_USER",
            "minio-root/MINIO_ROOT_PASSWORD",
        }
        assert all(len(value) >= 10 for value in first.values())
        assert len(set(first.values())) == len(first)
        assert not [value for value in first.values() if value in secrets]
        again = cluster.run("k8s/create-secrets")
        assert again.stdout.count("is there already, and stays") == 3
        assert values() == first


def taken_without_a_word(cluster: Cluster, folder: str) -> None:
    """Applies it from nothing, and again, which changes nothing."""
    command = ("kubectl", "apply", "--server-side", "-k", folder)
    done = cluster.run(*command)
    assert done.stderr == ""
    assert all(line.endswith("serverside-applied") for line in done.stdout.splitlines())
    before = versions(cluster)
    again = cluster.run(*command)
    assert again.stderr == ""
    assert {k: v for k, v in versions(cluster).items() if before.get(k) != v} == {}


@pytest.mark.usefixtures("secrets")
class TestSingleNode:
    def test_is_taken_without_an_error_or_a_warning(self, cluster: Cluster) -> None:
        taken_without_a_word(cluster, "k8s/overlays/single-node")


@pytest.mark.usefixtures("secrets")
class TestEverything:
    def test_is_taken_without_an_error_or_a_warning(self, cluster: Cluster) -> None:
        taken_without_a_word(cluster, EVERYTHING)


@pytest.mark.usefixtures("secrets")
class TestGuide:
    """By the command of docs/install.md."""

    def test_as_the_documentation_says_it_and_everything_gets_ready(self, cluster: Cluster) -> None:
        done = cluster.run("kubectl", "apply", "-k", "k8s/overlays/single-node")
        assert done.stderr == ""
        wait = ("wait", "-n", "tagloom", "--timeout=120s")
        cluster.kubectl(*wait, "--for=condition=Complete", "job/minio-provision")
        cluster.kubectl(*wait, "--for=condition=Available", "deployment", "--all")
        cluster.kubectl("rollout", "status", "-n", "tagloom", "statefulset/minio", "--timeout=60s")
        deployments = cluster.get("deployments", "-n", "tagloom")["items"]
        assert {each["metadata"]["name"] for each in deployments} == set(SERVICES)
        # Each Service leads to its pod, by the ports' names.
        for service in SERVICES:
            selector = f"kubernetes.io/service-name={service}"
            (found,) = cluster.get("endpointslices", "-n", "tagloom", "-l", selector)["items"]
            assert {p["name"]: p["port"] for p in found["ports"]} == {
                "grpc": 50051,
                "metrics": 9464,
            }
            (endpoint,) = found["endpoints"]
            assert endpoint["targetRef"]["name"].startswith(f"{service}-")
        complaints = cluster.get("events", "-n", "tagloom", "--field-selector=type=Warning")[
            "items"
        ]
        refused = [e["message"] for e in complaints if e["reason"] == "FailedCreate"]
        assert refused == []

    def test_the_experiment_is_taken_too(self, cluster: Cluster) -> None:
        done = cluster.run("kubectl", "apply", "-k", "examples/kubernetes")
        assert done.stderr == ""
        wait = ("wait", "-n", "tagloom", "--timeout=60s", "--for=condition=Complete")
        cluster.kubectl(*wait, "job/quickstart")

    def test_a_pod_that_is_not_restricted_is_refused(self, cluster: Cluster) -> None:
        for loosened in (
            {"runAsNonRoot": False},
            {"allowPrivilegeEscalation": True},
            {"capabilities": {}},
            {"seccompProfile": {"type": "Unconfined"}},
        ):
            done = cluster.run(
                *("kubectl", "create", "-f", "-"), check=False, stdin=json.dumps(pod(loosened))
            )
            assert done.returncode == 1
            assert 'violates PodSecurity "restricted:latest"' in done.stderr
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(pod({})))


@pytest.mark.usefixtures("secrets")
class TestProduction:
    def test_is_taken_without_an_error_or_a_warning(self, cluster: Cluster) -> None:
        taken_without_a_word(cluster, "k8s/overlays/production")

    def test_a_drain_takes_one_pod_at_a_time(self, cluster: Cluster) -> None:
        wait = ("wait", "-n", "tagloom", "--timeout=120s", "--for=condition=Available")
        cluster.kubectl(*wait, "deployment/trainer")

        def budget() -> Any:
            return cluster.get("poddisruptionbudget", "trainer", "-n", "tagloom")["status"]

        cluster.wait("two healthy trainers", lambda: budget().get("currentHealthy") == 2)
        assert budget()["disruptionsAllowed"] == 1
        named = ("pods", "-n", "tagloom", "-l", "app.kubernetes.io/name=trainer")
        first, second = (pod["metadata"]["name"] for pod in cluster.get(*named)["items"])
        nodes = [each["metadata"]["name"] for each in cluster.get("nodes")["items"]]
        cluster.kubectl("cordon", *nodes)  # so that no other pod can get ready

        def known() -> bool:  # not to kubectl alone: the node controller answers with a taint
            found = cluster.get("nodes")["items"]
            key = "node.kubernetes.io/unschedulable"
            return all(key in {t["key"] for t in node["spec"].get("taints", ())} for node in found)

        try:
            cluster.wait("closed nodes", known)
            assert evicted(cluster, first).returncode == 0
            refused = evicted(cluster, second)
            assert refused.returncode == 1
            assert "disruption budget" in refused.stderr
        finally:
            cluster.kubectl("uncordon", *nodes)
        cluster.wait("another trainer", lambda: budget().get("currentHealthy") == 2)
        assert evicted(cluster, second).returncode == 0

    def test_its_trainings_get_to_the_node_with_gpus(self, cluster: Cluster) -> None:
        """Which has a taint, and a label that the settings ask for."""
        job = training_job("production")
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(job))

        def bound() -> list[Any]:
            named = ("-n", "tagloom", "-l", "tagloom.dev/run=cats")
            pods = cluster.get("pods", *named)["items"]
            return [pod for pod in pods if pod["spec"].get("nodeName")]

        (pod,) = cluster.wait("a pod on a node", bound)
        assert pod["spec"]["nodeName"] == "gpu-0"
        (container,) = pod["spec"]["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"


def evicted(cluster: Cluster, name: str) -> subprocess.CompletedProcess[str]:
    """What `kubectl drain` asks for each pod."""
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": "tagloom"},
    }
    path = f"/api/v1/namespaces/tagloom/pods/{name}/eviction"
    command = ("kubectl", "create", "--raw", path, "-f", "-")
    return cluster.run(*command, stdin=json.dumps(eviction), check=False)


def versions(cluster: Cluster) -> dict[str, str]:
    """The configuration of everything that was applied, without what controllers write."""
    kinds = (
        "configmaps,deployments,horizontalpodautoscalers,namespaces,networkpolicies,"
        "poddisruptionbudgets,roles,rolebindings,serviceaccounts,services,statefulsets,"
        "clusterqueues,resourceflavors,localqueues,clustertrainingruntimes,podmonitors,"
        "prometheusrules"
    )
    found = {}
    for each in cluster.get(kinds, "-n", "tagloom", "--show-managed-fields")["items"]:
        # `kubectl` writes what was applied; its time changes only when that does.
        times = [
            f"{entry['operation']} {entry['time']}"
            for entry in each["metadata"].get("managedFields", ())
            if entry["manager"] == "kubectl"
        ]
        found[f"{each['kind']}/{each['metadata']['name']}"] = " ".join(times)
    return found


def pod(loosened: dict[str, Any]) -> dict[str, Any]:
    container = {
        "name": "c",
        "image": "tagloom/scraper:0.1.0",
        "securityContext": TIGHT | loosened,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"probe-{time.monotonic_ns()}", "namespace": "tagloom"},
        "spec": {"containers": [container]},
    }
