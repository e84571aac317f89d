"""Who may talk to whom: exactly what the services do, and nothing else.

Enforcement cannot be seen here (no network plugin that does it is to be had); what is shown is that
the policies' selectors and ports fit the pods as they are rendered.
"""

from __future__ import annotations

import ast
from itertools import product
from urllib.parse import urlsplit

import pytest

from services.trainer.launch.pod import job_labels
from tests.k8s.manifests import EVERYTHING, ROOT, SERVICES, Manifest, find, one, overlay, render
from tests.k8s.network import Peer, allowed, selects

NAMESPACE = {"kubernetes.io/metadata.name": "tagloom"}
TCP_PORTS = (53, 80, 443, 6443, 9000, 9464, 29500, 50051, 50052)
DNS = Peer(
    "dns", "10.244.0.2", {"k8s-app": "kube-dns"}, "kube-system",
    {"kubernetes.io/metadata.name": "kube-system"},
)  # fmt: skip
PROMETHEUS = Peer(
    "prometheus", "10.244.0.3", {"app.kubernetes.io/name": "prometheus"}, "monitoring",
    {"kubernetes.io/metadata.name": "monitoring"},
)  # fmt: skip
KUBEFLOW = Peer("kubeflow step", "10.244.0.4", {}, "team", {"tagloom.dev/client": "true"})
STRANGER = Peer("stranger", "10.244.0.5", {"app.kubernetes.io/name": "prometheus"}, "other", {})
OUTSIDE = (
    Peer("internet", "93.184.215.14"),
    Peer("internet (IPv6)", "2606:2800:21f::1"),
    Peer("api server", "10.96.0.1"),
    Peer("another network", "192.168.7.7"),
    Peer("metadata server", "169.254.169.254"),
)


def pods(objects: tuple[Manifest, ...]) -> dict[str, Peer]:
    """One pod of each kind that the manifests make, and those that the services make at work."""
    found = {}
    for owner in objects:
        if owner["kind"] not in ("Deployment", "StatefulSet", "Job"):
            continue
        template = owner["spec"]["template"]
        ports = {
            port["name"]: port["containerPort"]
            for container in template["spec"]["containers"]
            for port in container.get("ports", ())
        }
        name = owner["metadata"]["name"]
        address = f"10.244.1.{len(found) + 10}"
        labels = template["metadata"]["labels"]
        found[name] = Peer(name, address, labels, "tagloom", NAMESPACE, ports)
    for name in ("training", "training rank 1"):
        labels = job_labels("cats")
        found[name] = Peer(name, f"10.244.2.{len(found)}", labels, "tagloom", NAMESPACE, {})
    (job,) = find(render("examples/kubernetes"), "Job")
    labels = job["spec"]["template"]["metadata"]["labels"]
    found["experiment"] = Peer("experiment", "10.244.2.99", labels, "tagloom", NAMESPACE, {})
    return found


def expected(known: dict[str, Peer], store: tuple[str, int]) -> set[tuple[str, str, int]]:
    """(sender, receiver, TCP port) of every connection that somebody needs."""
    users = [*SERVICES, "training", "training rank 1", "experiment"]
    flows = {(sender, "dns", 53) for sender in known}
    flows |= {(sender, *store) for sender in users}
    flows |= {(caller, service, 50051) for caller in ("experiment", "kubeflow step")
              for service in SERVICES}  # fmt: skip
    flows |= {("prometheus", target, 9464) for target in
              (*SERVICES, "training", "training rank 1")}  # fmt: skip
    flows |= {("scraper", "internet", 443), ("scraper", "internet (IPv6)", 443)}
    for port in TCP_PORTS:
        flows |= {("training", "training rank 1", port), ("training rank 1", "training", port)}
    if "minio" in known:
        flows |= {("minio-provision", "minio", 9000), ("prometheus", "minio", 9000)}
        flows |= {("kubeflow step", "minio", 9000)}
    # A policy cannot name the API server; on its ports the trainer reaches all private addresses
    # (our own pods, too, refuse it there).
    private = ("api server", "another network", "dns", "prometheus", "kubeflow step", "stranger")
    flows |= {("trainer", place, port) for place in private for port in (443, 6443)}
    return flows


@pytest.mark.parametrize("name", ["single-node", "production"])
def test_exactly_the_connections_that_are_needed_are_allowed(name: str) -> None:
    objects = overlay(name)
    policies = find(objects, "NetworkPolicy")
    known = pods(objects)
    place = ("minio", 9000)
    others = {peer.name: peer for peer in (DNS, PROMETHEUS, KUBEFLOW, STRANGER, *OUTSIDE)}
    if "minio" not in known:
        others["store"] = Peer("store", "192.0.2.10")
        place = ("store", 443)
    everybody = known | others
    seen = {
        (sender.name, receiver.name, port)
        for sender, receiver, port in product(everybody.values(), everybody.values(), TCP_PORTS)
        if "tagloom" in (sender.namespace, receiver.namespace) and sender is not receiver
        and allowed(policies, sender, receiver, port)
    }  # fmt: skip
    assert seen == expected(known, place)


@pytest.mark.parametrize("name", ["single-node", "production"])
def test_everybody_resolves_names(name: str) -> None:
    objects = overlay(name)
    policies = find(objects, "NetworkPolicy")
    for pod in pods(objects).values():
        for server in (DNS, Peer("node-local cache", "169.254.20.10")):
            assert allowed(policies, pod, server, 53, "UDP"), (pod.name, server.name)


def test_the_store_is_where_the_settings_say() -> None:
    objects = overlay("single-node")
    endpoint = urlsplit(one(objects, "ConfigMap", "tagloom-store")["data"]["MINIO_ENDPOINT"])
    host, namespace, _ = (endpoint.hostname or "").split(".")
    service = one(objects, "Service", host)
    assert service["metadata"]["namespace"] == namespace
    (port,) = (p for p in service["spec"]["ports"] if p["port"] == endpoint.port)
    (pod,) = (p for p in pods(objects).values() if selects(
        {"matchLabels": service["spec"]["selector"]}, p.labels))  # fmt: skip
    assert pod.ports[port["targetPort"]] == 9000
    policies = find(objects, "NetworkPolicy")
    assert all(allowed(policies, pods(objects)[name], pod, 9000) for name in SERVICES)


def test_every_address_in_the_template_is_a_service_that_leads_to_its_pods() -> None:
    for name in ("single-node", "production"):
        objects = overlay(name)
        known = pods(objects)
        for service in SERVICES:
            spec = one(objects, "Service", service)["spec"]
            ports = {p["name"]: p for p in spec["ports"]}
            behind = [p for p in known.values() if selects(
                {"matchLabels": spec["selector"]}, p.labels)]  # fmt: skip
            assert [pod.name for pod in behind] == [service]
            assert ports["grpc"]["port"] == 50051
            assert ports["metrics"]["port"] == 9464
            for port in ports.values():
                assert behind[0].ports[port["targetPort"]] == port["port"]


def test_services_call_no_service() -> None:
    """Which is why no policy lets one service reach another."""
    for path in (ROOT / "services").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            assert not [m for m in modules if m.startswith("tagloom.client")], path


def test_nothing_is_open_by_a_component() -> None:
    """Policies add up: no component may add one that selects more than it should."""
    names = {p["metadata"]["name"] for p in find(overlay("single-node"), "NetworkPolicy")}
    every = find(render(EVERYTHING), "NetworkPolicy")
    assert {p["metadata"]["name"] for p in every} == names
    empty = [p["metadata"]["name"] for p in every if not p["spec"]["podSelector"]]
    assert sorted(empty) == ["default-deny", "dns"]


def test_the_evaluator_itself() -> None:
    """It denies and allows as the API's documentation says, on cases worked out by hand."""

    def policy(**spec: object) -> Manifest:
        return {"metadata": {"namespace": "n"}, "spec": {"podSelector": {}, **spec}}

    a = Peer("a", "10.0.0.1", {"x": "1"}, "n", {"team": "t"}, {"web": 80})
    b = Peer("b", "10.0.0.2", {"x": "2"}, "n", {"team": "t"})
    far = Peer("far", "10.0.0.3", {"x": "1"}, "m", {"team": "u"})
    deny = policy(policyTypes=["Ingress"])
    assert allowed([], a, b, 1)
    assert not allowed([deny], a, b, 1)
    assert allowed([deny], a, far, 1)  # ingress of another namespace is its own business
    assert not allowed([policy(policyTypes=["Egress"])], a, far, 1)
    by_name = policy(policyTypes=["Ingress"], ingress=[{"ports": [{"port": "web"}]}])
    assert allowed([by_name], b, a, 80)
    assert not allowed([by_name], b, a, 81)
    assert not allowed([by_name], a, b, 80)  # b has no port of that name
    assert not allowed([by_name], b, a, 80, "UDP")
    pods_only = policy(policyTypes=["Ingress"], ingress=[{"from": [{"podSelector": {
        "matchLabels": {"x": "1"}}}]}])  # fmt: skip
    assert allowed([pods_only], a, b, 1)
    assert not allowed([pods_only], far, b, 1)  # without namespaceSelector: the own namespace
    both = policy(policyTypes=["Ingress"], ingress=[{"from": [{
        "namespaceSelector": {"matchLabels": {"team": "u"}},
        "podSelector": {"matchLabels": {"x": "1"}}}]}])  # fmt: skip
    assert allowed([both], far, b, 1)
    assert not allowed([both], a, b, 1)
    block = policy(policyTypes=["Egress"], egress=[{"to": [{"ipBlock": {
        "cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]}])  # fmt: skip
    assert allowed([block], a, Peer("net", "1.2.3.4"), 443)
    assert not allowed([block], a, far, 443)
    ranged = policy(policyTypes=["Egress"], egress=[{"ports": [{"port": 5, "endPort": 7}]}])
    assert [p for p in range(4, 9) if allowed([ranged], a, far, p)] == [5, 6, 7]
