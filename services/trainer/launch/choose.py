"""Which launcher the environment asks for."""

from __future__ import annotations

from collections.abc import Mapping

from services.trainer.launch.cluster import Cluster
from services.trainer.launch.interface import Launcher
from services.trainer.launch.kubernetes import ClusterLauncher
from services.trainer.launch.process import ProcessLauncher
from services.trainer.launch.settings import JobSettings, launcher_kind

__all__ = ["choose_launcher"]


def choose_launcher(environment: Mapping[str, str]) -> Launcher:
    """By TAGLOOM_LAUNCHER: process (the default), job or trainjob; asks no cluster yet.

    Raises InvalidArgument (SETTING_INVALID), FailedPrecondition (CLUSTER_NOT_CONFIGURED,
    KUBERNETES_NOT_INSTALLED).
    """
    kind = launcher_kind(environment)
    if kind == "process":
        return ProcessLauncher.from_environment(environment)
    settings = JobSettings.from_environment(environment, kind)
    cluster = Cluster.connect(settings.namespace, environment)
    if kind == "job":
        return ClusterLauncher.of_jobs(cluster, settings)
    return ClusterLauncher.of_train_jobs(cluster, settings)
