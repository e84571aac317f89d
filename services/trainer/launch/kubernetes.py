"""Trainings in a cluster: a Job on one node, or a TrainJob of Kubeflow's on several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from services.trainer.launch.cluster import JOB, TRAIN_JOB, Cluster
from services.trainer.launch.interface import Assignment
from services.trainer.launch.manifests import job_manifest, train_job_manifest
from services.trainer.launch.names import job_name
from services.trainer.launch.pod import (
    OPERATION_ANNOTATION,
    RUN_ANNOTATION,
    STORE_ANNOTATION,
)
from services.trainer.launch.settings import JobSettings
from services.trainer.launch.workload import Workload, WorkloadKind
from tagloom.errors import FailedPrecondition

__all__ = ["ClusterLauncher"]

_JOB = WorkloadKind(JOB, "batch.kubernetes.io/job-name")
_TRAIN_JOB = WorkloadKind(TRAIN_JOB, "jobset.sigs.k8s.io/jobset-name")


@dataclass(frozen=True, slots=True)
class ClusterLauncher:
    """Has a cluster train runs, each in a Job or TrainJob named after the run.

    It is owned by nobody, so it outlives the trainer; a run creates nothing else (a TrainJob's
    JobSet is made, and owned, on its behalf). The next trainer finds it by its name.
    """

    cluster: Cluster
    settings: JobSettings
    kind: WorkloadKind
    manifest: Callable[[JobSettings, Assignment, str], dict[str, Any]]
    starts: int = 1
    """the Job itself starts pods again (TAGLOOM_JOB_RETRIES)"""

    @classmethod
    def of_jobs(cls, cluster: Cluster, settings: JobSettings) -> ClusterLauncher:
        """One node for each run."""
        return cls(cluster, settings, _JOB, job_manifest)

    @classmethod
    def of_train_jobs(cls, cluster: Cluster, settings: JobSettings) -> ClusterLauncher:
        """Several nodes for each run, through Kubeflow's Trainer."""
        return cls(cluster, settings, _TRAIN_JOB, train_job_manifest)

    @property
    def at_once(self) -> int:
        return self.settings.at_once

    def adopt(self, assignment: Assignment) -> Workload | None:
        """Raises FailedPrecondition (JOB_NAME_TAKEN), and what the cluster refuses."""
        name = job_name(assignment.run_id)
        found = self.cluster.read(self.kind.kind, name)
        if found is None:
            return None
        metadata = found["metadata"]
        told = metadata.get("annotations") or {}
        whose = (told.get(RUN_ANNOTATION), told.get(STORE_ANNOTATION))
        if whose != (assignment.run_id, self._store_url(assignment)):
            raise FailedPrecondition(
                f"The {self.kind.kind.name} {self.cluster.namespace}/{name} is not of "
                f"runs/{assignment.run_id} in this store; remove it, or give each store a "
                "namespace of its own (TAGLOOM_JOB_NAMESPACE).",
                reason="JOB_NAME_TAKEN",
                job=name,
            )
        if metadata.get("deletionTimestamp"):
            return None
        if told.get(OPERATION_ANNOTATION) != assignment.operation:
            return None
        return self._workload(name, uid=metadata["uid"])

    def start(self, assignment: Assignment) -> Workload:
        """Raises InvalidArgument (STORE_NOT_SHARED). What the cluster refuses, `poll` raises."""
        manifest = self.manifest(self.settings, assignment, self._store_url(assignment))
        return self._workload(job_name(assignment.run_id), manifest=manifest)

    def _workload(
        self, name: str, *, manifest: dict[str, Any] | None = None, uid: str = ""
    ) -> Workload:
        return Workload(
            self.cluster,
            self.kind,
            name,
            manifest=manifest,
            uid=uid,
            start_grace_s=self.settings.start_grace_s,
        )

    def _store_url(self, assignment: Assignment) -> str:
        url = self.settings.store or assignment.store_url
        if not url.startswith("s3://"):
            raise FailedPrecondition(
                f"Training pods cannot reach the store {url}, a folder of this machine: give the "
                "trainer one that they can (--store s3://bucket), or train on this machine with "
                "TAGLOOM_LAUNCHER=process.",
                reason="STORE_NOT_SHARED",
            )
        return url
