"""What a step's pod gets on a cluster: image, addresses, secrets, rights, resources, retries.

`pipelines.experiment` says which step follows which; this module settles each step for Kubernetes.
No step asks for an accelerator: steps call services and wait, and the GPUs belong to the training
Job that the trainer launches. A step that held one while it waits could keep it from that very Job.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tagloom.client import connect
from tagloom.errors import FailedPrecondition, InvalidArgument

__all__ = ["Cluster"]

PREFIX = "TAGLOOM_PIPELINES_"
MOST_SHARDS = 256
"""as many as the filter takes"""
_TOKEN = "/etc/tagloom/token"
_CA = "/etc/tagloom/ca"
_WINDOW_S = 30 * 24 * 3600
"""Retries are allowed for so long after a step's *first* start: Argo counts from there, and a
training takes days."""


@dataclass(frozen=True)
class Cluster:
    """Settings; each from TAGLOOM_PIPELINES_<FIELD>."""

    image: str = f"tagloom/pipelines-python:{importlib.metadata.version('tagloom')}"
    """holds `tagloom[pipelines]`"""
    target: str = "dns:///{service}.tagloom.svc:50051"
    """where the services are, as the pods see them"""
    token_secret: str = "tagloom-token"
    """Secret with the key `token`; empty: the services ask for none"""
    ca_config_map: str = ""
    """ConfigMap with the key `ca.crt`, the CA of the services' certificates; empty: no TLS"""
    store_config_map: str = "tagloom-store"
    """ConfigMap with TAGLOOM_STORE and MINIO_ENDPOINT, for the steps that write the report"""
    store_secret: str = "tagloom-store"
    """Secret with MINIO_ACCESS_KEY and MINIO_SECRET_KEY; empty: no step writes to the store, and
    the report is an artifact of Kubeflow's alone"""
    cpu_request: str = "100m"
    cpu_limit: str = "1"
    memory_request: str = "256Mi"
    memory_limit: str = "1Gi"
    user: int = 10001
    """user and group id of the image"""
    filter_shards: int = 1
    """parts of a collection that are scored side by side: as many as the filter has replicas"""
    retries: int = 2
    """pods that a step may lose; what can be tried again within a pod is, by the step itself"""
    backoff_s: int = 5
    """before the first retry; doubled before each further one"""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Cluster:
        """Settings of the environment; what is not set keeps its default.

        Raises InvalidArgument (PIPELINE_SETTING_INVALID, TARGET_INVALID).
        """
        given: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            name = PREFIX + field.name.upper()
            if name not in environment:
                continue
            given[field.name] = value = environment[name]
            if field.type == "int":
                if not (value.isascii() and value.isdigit()) or int(value) > 2**31:
                    raise _invalid(name, value, "write a whole number")
                given[field.name] = int(value)
            elif not value and field.name not in {"token_secret", "ca_config_map", "store_secret"}:
                raise _invalid(name, value, "it must not be empty; unset it for the default")
        cluster = cls(**given)
        if cluster.user == 0:
            raise _invalid(f"{PREFIX}USER", "0", "Pod Security `restricted` lets no root in")
        if not 1 <= cluster.filter_shards <= MOST_SHARDS:
            given_shards = str(cluster.filter_shards)
            raise _invalid(f"{PREFIX}FILTER_SHARDS", given_shards, f"choose 1 to {MOST_SHARDS}")
        connect(cluster.target).close()  # refuses what is no address
        return cluster

    def settle(self, task: Any, *, stores: bool = False) -> None:
        """Settles a step for its pod; `stores`: it writes the experiment's documents.

        Raises FailedPrecondition (PIPELINES_NOT_INSTALLED), InvalidArgument
        (PIPELINE_SETTING_INVALID).
        """
        kubernetes = _kfp_kubernetes()
        task.set_container_image(self.image)
        task.set_env_variable("TAGLOOM_TARGET", self.target)
        task.set_retry(
            self.retries,
            backoff_duration=f"{self.backoff_s}s",
            backoff_factor=2.0,
            backoff_max_duration=f"{_WINDOW_S}s",
        )
        try:
            task.set_cpu_request(self.cpu_request).set_cpu_limit(self.cpu_limit)
            task.set_memory_request(self.memory_request).set_memory_limit(self.memory_limit)
        except ValueError as error:
            raise InvalidArgument(
                f"The resources of the pipeline's steps are not Kubernetes quantities: {error}",
                reason="PIPELINE_SETTING_INVALID",
            ) from error
        kubernetes.set_security_context(task, run_as_user=self.user, run_as_group=self.user)
        for key, value in (
            ("app.kubernetes.io/name", "pipeline"),
            ("app.kubernetes.io/part-of", "tagloom"),
            ("app.kubernetes.io/component", "pipeline"),
        ):
            kubernetes.add_pod_label(task, key, value)
        if self.token_secret:
            kubernetes.use_secret_as_volume(task, self.token_secret, _TOKEN)
            task.set_env_variable("TAGLOOM_TOKEN_FILE", f"{_TOKEN}/token")
        if self.ca_config_map:
            kubernetes.use_config_map_as_volume(task, self.ca_config_map, _CA)
            task.set_env_variable("TAGLOOM_TLS_CA", f"{_CA}/ca.crt")
        if stores and self.store_secret:
            names = ("TAGLOOM_STORE", "MINIO_ENDPOINT")
            kubernetes.use_config_map_as_env(
                task, self.store_config_map, {name: name for name in names}
            )
            keys = ("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY")
            kubernetes.use_secret_as_env(task, self.store_secret, {key: key for key in keys})


def _kfp_kubernetes() -> Any:
    try:
        from kfp import kubernetes
    except ImportError as error:
        raise FailedPrecondition(
            "Compiling for a cluster needs kfp-kubernetes; pip install 'tagloom[pipelines]'.",
            reason="PIPELINES_NOT_INSTALLED",
        ) from error
    return kubernetes


def _invalid(name: str, value: str, remedy: str) -> InvalidArgument:
    return InvalidArgument(
        f"{name} cannot be {value[:80]!r}: {remedy}.",
        reason="PIPELINE_SETTING_INVALID",
        setting=name,
    )
