"""The real controllers of Kubeflow Trainer and JobSet, from their Go modules, beside a cluster of a
test; with their webhooks, which the API server asks as it would in an installation."""

from __future__ import annotations

import base64
import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from live_cluster import Cluster, free_ports
from published_manifests import JOBSET, TRAINER, definitions, webhooks

__all__ = ["controlling"]

TRAINER_CONFIGURATION = """\
apiVersion: config.trainer.kubeflow.org/v1alpha1
kind: Configuration
health: {{healthProbeBindAddress: "127.0.0.1:{health}"}}
metrics: {{bindAddress: "0"}}
webhook: {{host: 127.0.0.1, port: {webhook}}}
leaderElection: {{leaderElect: false}}
certManagement: {{enable: false}}
"""
JOBSET_CONFIGURATION = """\
apiVersion: config.jobset.x-k8s.io/v1alpha1
kind: Configuration
health: {{healthProbeBindAddress: "127.0.0.1:{health}"}}
metrics: {{bindAddress: "0"}}
webhook: {{host: 127.0.0.1, port: {webhook}}}
leaderElection: {{leaderElect: false}}
internalCertManagement: {{enable: false}}
"""


@dataclass(frozen=True)
class _Controller:
    program: str
    configuration: str
    webhooks: list[dict[str, Any]]


@contextlib.contextmanager
def controlling(cluster: Cluster, folder: Path) -> Iterator[Path]:
    """Their definitions applied, both controllers at work; yields the folder of their logs."""
    found = [path for each in (TRAINER, JOBSET) for path in definitions(each)]
    cluster.kubectl("apply", "--server-side", *(f"--filename={path}" for path in found))

    def established() -> bool:
        crds = cluster.get("crds")["items"]
        return all(
            "Established" in {c["type"] for c in crd.get("status", {}).get("conditions") or ()}
            for crd in crds
        )

    cluster.wait("definitions in force", established)
    certificate = _certificate(folder / "k8s-webhook-server" / "serving-certs")
    # All at once: a cluster in a network of its own does not show here which are taken there.
    first = free_ports(4, 21443)
    with contextlib.ExitStack() as stack:
        for number, controller in enumerate(
            (
                _Controller("jobset", JOBSET_CONFIGURATION, webhooks(JOBSET)),
                _Controller("trainer-controller-manager", TRAINER_CONFIGURATION, webhooks(TRAINER)),
            )
        ):
            ports = first + 2 * number
            stack.enter_context(_running(cluster, controller, folder, certificate, ports))
        yield folder


@contextlib.contextmanager
def _running(
    cluster: Cluster, controller: _Controller, folder: Path, certificate: str, first: int
) -> Iterator[None]:
    health, webhook = first, first + 1
    configuration = folder / f"{controller.program}.yaml"
    configuration.write_text(controller.configuration.format(health=health, webhook=webhook))
    log = folder / f"{controller.program}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            cluster.command(
                str(cluster.programs / controller.program), "--config", str(configuration)
            ),
            env={**cluster.environment, "TMPDIR": str(folder)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    asked = [_at(port=webhook, document=each, ca=certificate) for each in controller.webhooks]
    try:

        def ready() -> bool:
            assert process.poll() is None, log.read_text()[-4000:]
            look = ("import urllib.request as r", f"r.urlopen('http://127.0.0.1:{health}/readyz')")
            return cluster.run("python3", "-c", "; ".join(look), check=False).returncode == 0

        cluster.wait(f"{controller.program} ready", ready, seconds=90)
        cluster.apply(*asked)
        yield
    finally:
        for each in asked:
            named = (each["kind"], each["metadata"]["name"], "--ignore-not-found")
            cluster.kubectl("delete", *named, check=False)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()


def _at(port: int, document: dict[str, Any], ca: str) -> dict[str, Any]:
    """The webhooks, asked on loopback, where the API server is too, instead of in a Service."""
    for hook in document["webhooks"]:
        path = hook["clientConfig"].pop("service")["path"]
        hook["clientConfig"] = {"url": f"https://127.0.0.1:{port}{path}", "caBundle": ca}
        if any("pods" in rule["resources"] for rule in hook["rules"]):
            # As JobSet's own kustomization has it: no pods but its own.
            only = {"key": "jobset.sigs.k8s.io/jobset-name", "operator": "Exists"}
            hook["objectSelector"] = {"matchExpressions": [only]}
    kind = document["kind"].removesuffix("WebhookConfiguration").lower()
    owner = document["webhooks"][0]["name"].partition(".")[2]
    document["metadata"] = {"name": f"{kind}.{owner}"}
    return document


def _certificate(folder: Path) -> str:
    """Of the webhooks' server, where the controllers look for it; as a Kubernetes object has it."""
    folder.mkdir(parents=True)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=webhook"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")),
        ],
        check=True,
        capture_output=True,
    )
    return base64.b64encode((folder / "tls.crt").read_bytes()).decode()
