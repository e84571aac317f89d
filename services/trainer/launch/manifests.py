"""What the trainer asks a cluster for: a Job for one node, a TrainJob for several."""

from __future__ import annotations

from typing import Any

from services.trainer.launch.interface import Assignment
from services.trainer.launch.names import job_name
from services.trainer.launch.pod import (
    CONTAINER,
    job_annotations,
    job_labels,
    pod_spec,
    resources,
    tolerations,
    variables,
    worker_command,
)
from services.trainer.launch.settings import JobSettings

__all__ = ["POD_FAILURE_POLICY", "QUEUE_LABEL", "job_manifest", "train_job_manifest"]

Manifest = dict[str, Any]

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
_MANAGER = "tagloom.dev/trainer"

POD_FAILURE_POLICY: Manifest = {
    "rules": [
        # Drained, preempted, evicted, its node gone: another pod takes its place, and that is no
        # failure.
        {
            "action": "Ignore",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        },
        # Saved and interrupted (SIGTERM): the same without the condition.
        {
            "action": "Ignore",
            "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [75]},
        },
        # The run has failed, and would again: its error is in the store.
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [1]},
        },
    ]
}


def job_manifest(settings: JobSettings, assignment: Assignment, store_url: str) -> Manifest:
    """The `batch/v1` Job that trains the run on one node."""
    # What Kubeflow's Trainer tells the pods of a TrainJob, for one node.
    torchrun = {
        "PET_NNODES": "1",
        "PET_NPROC_PER_NODE": str(settings.processes),
        "PET_NODE_RANK": "0",
        "PET_MASTER_ADDR": "127.0.0.1",
        "PET_MASTER_PORT": "29500",
    }
    environment = [{"name": name, "value": value} for name, value in torchrun.items()]
    pod = pod_spec(
        settings, worker_command(assignment, store_url), [*variables(settings), *environment]
    )
    told = job_annotations(assignment, store_url)
    spec: Manifest = {
        "backoffLimit": settings.retries,
        "completionMode": "NonIndexed",
        "completions": 1,
        "parallelism": 1,
        "podFailurePolicy": POD_FAILURE_POLICY,
        # A pod that is still ending still writes: two would only wait for each other.
        "podReplacementPolicy": "Failed",
        "template": {
            "metadata": {"labels": job_labels(assignment.run_id), "annotations": told},
            "spec": pod,
        },
        "ttlSecondsAfterFinished": settings.ttl_s,
    }
    metadata = _metadata(settings, assignment, store_url)
    if settings.queue:
        spec["suspend"] = True  # until Kueue admits it
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def train_job_manifest(settings: JobSettings, assignment: Assignment, store_url: str) -> Manifest:
    """The Kubeflow TrainJob that trains the run on several nodes, on our ClusterTrainingRuntime.

    The runtime holds what all trainings have in common (k8s/components/trainjob); torchrun's
    variables are set by Kubeflow's Trainer.
    """
    patch: Manifest = {"serviceAccountName": settings.service_account}
    if settings.image_pull_secrets:
        patch["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    if settings.node_selector:
        patch["nodeSelector"] = dict(settings.node_selector)
    if settings.tolerations:
        patch["tolerations"] = tolerations(settings)
    metadata = _metadata(settings, assignment, store_url)
    described = {key: metadata[key] for key in ("labels", "annotations")}
    template = {"metadata": described, "spec": patch}
    spec: Manifest = {
        "runtimeRef": {
            "apiGroup": "trainer.kubeflow.org",
            "kind": "ClusterTrainingRuntime",
            "name": settings.runtime,
        },
        "trainer": {
            "image": settings.image,
            "command": worker_command(assignment, store_url),
            "env": variables(settings),
            "numNodes": settings.nodes,
            "numProcPerNode": settings.processes,
            "resourcesPerNode": resources(settings),
        },
        "runtimePatches": [
            {
                "manager": _MANAGER,
                "trainingRuntimeSpec": {
                    "template": {
                        "spec": {
                            "replicatedJobs": [
                                {"name": CONTAINER, "template": {"spec": {"template": template}}}
                            ]
                        }
                    }
                },
            }
        ],
    }
    if settings.queue:
        spec["suspend"] = True
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": metadata,
        "spec": spec,
    }


def _metadata(settings: JobSettings, assignment: Assignment, store_url: str) -> Manifest:
    known = job_labels(assignment.run_id)
    if settings.queue:
        known[QUEUE_LABEL] = settings.queue
    return {
        "name": job_name(assignment.run_id),
        "labels": known,
        "annotations": job_annotations(assignment, store_url),
    }
