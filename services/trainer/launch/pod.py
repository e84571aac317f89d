"""The pod that trains: one container of the training image, as tight as Pod Security asks for."""

from __future__ import annotations

from typing import Any

from services.trainer.launch.interface import Assignment
from services.trainer.launch.names import run_label
from services.trainer.launch.settings import JobSettings, Toleration, amount

__all__ = [
    "CONTAINER",
    "OPERATION_ANNOTATION",
    "RUN_ANNOTATION",
    "STORE_ANNOTATION",
    "job_annotations",
    "job_labels",
    "pod_spec",
    "resources",
    "tolerations",
    "variables",
    "worker_command",
]

Manifest = dict[str, Any]

CONTAINER = "node"
"""the name that Kubeflow's Trainer looks for"""
RUN_ANNOTATION = "tagloom.dev/run"
OPERATION_ANNOTATION = "tagloom.dev/operation"
STORE_ANNOTATION = "tagloom.dev/store"

_USER = 10001
_TERMINATION_LOG = "/dev/termination-log"
_CACHE = "/var/cache/tagloom"
_SHARED_MEMORY = "2Gi"
"""for the ranks of one node, which NCCL has talk through it"""
_TORCHRUN_MARGIN_S = 15
"""between torchrun's last resort and the kubelet's"""


def job_labels(run_id: str) -> dict[str, str]:
    """Of everything that belongs to the training of the run."""
    return {
        "app.kubernetes.io/name": "training",
        "app.kubernetes.io/part-of": "tagloom",
        "app.kubernetes.io/component": "training",
        "tagloom.dev/run": run_label(run_id),
    }


def job_annotations(assignment: Assignment, store_url: str) -> dict[str, str]:
    """Whose Job it is, in full: labels and names are shortened."""
    return {
        RUN_ANNOTATION: assignment.run_id,
        OPERATION_ANNOTATION: assignment.operation,
        STORE_ANNOTATION: store_url,
    }


def worker_command(assignment: Assignment, store_url: str) -> list[str]:
    """What the container runs."""
    return [
        *("python", "-m", "services.trainer.launch.container"),
        *("--store", store_url, "--run", assignment.run_id),
        *("--lease-s", f"{assignment.lease_s:g}"),
    ]


def variables(settings: JobSettings) -> list[Manifest]:
    """Of the container, but for torchrun's own."""
    cores = max(int(amount(settings.cpu_limit)) // settings.processes, 1)
    found = {
        "NUMBA_CACHE_DIR": f"{_CACHE}/numba",
        "TRITON_CACHE_DIR": f"{_CACHE}/triton",
        "TORCHINDUCTOR_CACHE_DIR": f"{_CACHE}/inductor",
        "PYTHONUNBUFFERED": "1",
        "TAGLOOM_TERMINATION_LOG": _TERMINATION_LOG,
        # The cores of the node are visible in a container, its limit is not.
        "TAGLOOM_TORCH_THREADS": str(cores),
        "PET_SHUTDOWN_TIMEOUT": str(max(settings.stop_grace_s - _TORCHRUN_MARGIN_S, 5)),
        **dict(settings.env),
    }
    return [{"name": name, "value": value} for name, value in found.items()]


def resources(settings: JobSettings) -> Manifest:
    """Requests and limits of the container."""
    gpus = {settings.gpu_resource: str(settings.gpus)} if settings.gpus else {}
    disk = {"ephemeral-storage": settings.scratch}
    return {
        "requests": {"cpu": settings.cpu, "memory": settings.memory, **gpus},
        "limits": {"cpu": settings.cpu_limit, "memory": settings.memory, **disk, **gpus},
    }


def tolerations(settings: JobSettings) -> list[Manifest]:
    """The taints that the pod bears."""
    return [_toleration(toleration) for toleration in settings.tolerations]


def _toleration(toleration: Toleration) -> Manifest:
    found: Manifest = {"key": toleration.key, "operator": "Exists"}
    if toleration.value:
        found |= {"operator": "Equal", "value": toleration.value}
    if toleration.effect:
        found["effect"] = toleration.effect
    return found


def pod_spec(settings: JobSettings, command: list[str], environment: list[Manifest]) -> Manifest:
    """The pod's spec; what is not told is left out, so that the cluster's defaults count."""
    volumes: list[Manifest] = [
        {"name": "tmp", "emptyDir": {"sizeLimit": settings.scratch}},
        {"name": "cache", "emptyDir": {"sizeLimit": "2Gi"}},
    ]
    mounts = [
        {"name": "tmp", "mountPath": "/tmp"},
        {"name": "cache", "mountPath": _CACHE},
    ]
    if settings.processes > 1:
        shared = {"medium": "Memory", "sizeLimit": _SHARED_MEMORY}
        volumes.append({"name": "shared-memory", "emptyDir": shared})
        mounts.append({"name": "shared-memory", "mountPath": "/dev/shm"})
    container: Manifest = {
        "name": CONTAINER,
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": command,
        "env": environment,
        "envFrom": [
            {f"{'configMap' if source.kind == 'configmap' else 'secret'}Ref": {"name": source.name}}
            for source in settings.env_from
        ],
        "resources": resources(settings),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "terminationMessagePath": _TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }
    spec: Manifest = {
        "automountServiceAccountToken": False,
        "containers": [container],
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "securityContext": {
            "fsGroup": _USER,
            "runAsGroup": _USER,
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "serviceAccountName": settings.service_account,
        "terminationGracePeriodSeconds": settings.stop_grace_s,
        "volumes": volumes,
    }
    if settings.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    if settings.node_selector:
        spec["nodeSelector"] = dict(settings.node_selector)
    if settings.tolerations:
        spec["tolerations"] = tolerations(settings)
    if settings.runtime_class:
        spec["runtimeClassName"] = settings.runtime_class
    if settings.priority_class:
        spec["priorityClassName"] = settings.priority_class
    return spec
