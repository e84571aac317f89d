"""Kubeflow Trainer's real controller, from its Go module, beside a control plane of a test."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from live_cluster import Cluster
from published_crds import TRAINER

from tools.minio_build import cache

__all__ = ["build", "controlling"]


def build() -> Path:
    """The program, built once (2 minutes on two quiet cores)."""
    program = cache() / "cluster" / "trainer" / TRAINER.version / "trainer-controller-manager"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        package = f"{TRAINER.module}/cmd/trainer-controller-manager@{TRAINER.version}"
        environment = {
            **os.environ,
            "CGO_ENABLED": "0",
            "GOBIN": str(program.parent),
            "GOFLAGS": "-trimpath",
        }
        command = ["go", "install", "-p", "2", "-ldflags", "-s -w", package]
        subprocess.run(command, env=environment, check=True, stdout=sys.stderr)
    return program


@contextlib.contextmanager
def controlling(cluster: Cluster, folder: Path) -> Iterator[Path]:
    """The controller at work; yields its log. Its webhooks are not asked: they would need a
    Service that reaches this machine."""
    certificates = folder / "k8s-webhook-server" / "serving-certs"
    certificates.mkdir(parents=True)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=webhook"),
            *("-keyout", str(certificates / "tls.key"), "-out", str(certificates / "tls.crt")),
        ],
        check=True,
        capture_output=True,
    )
    health, webhook = _free_port(), _free_port()
    configuration = folder / "configuration.yaml"
    configuration.write_text(
        f"""apiVersion: config.trainer.kubeflow.org/v1alpha1
kind: Configuration
health: {{healthProbeBindAddress: "127.0.0.1:{health}"}}
metrics: {{bindAddress: "0"}}
webhook: {{host: 127.0.0.1, port: {webhook}}}
leaderElection: {{leaderElect: false}}
certManagement: {{enable: false}}
"""
    )
    log = folder / "controller.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            cluster.command(str(build()), "--config", str(configuration)),
            env={**cluster.environment, "TMPDIR": str(folder)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield log
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
