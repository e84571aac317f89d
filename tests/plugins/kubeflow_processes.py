"""Runs the containers of a pipeline's steps as processes, with nothing of ours around them.

As in a pod, a process sees the variables of its container, the Secrets and ConfigMaps that the
step names, and no others. Where a file is mounted, its path differs: a process has no mounts.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from kubeflow_tasks import ContainerTask, PodFailed, Result, Stopped

__all__ = ["ProcessLauncher"]

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class ProcessLauncher:
    """A cluster's namespace, played by a folder."""

    folder: Path
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    config_maps: dict[str, dict[str, str]] = field(default_factory=dict)
    images: set[str] = field(default_factory=set)
    """what can be pulled; empty: anything"""
    _started: set[str] = field(default_factory=set)

    @property
    def root(self) -> str:
        """Where artifacts lie."""
        return str(self.folder / "artifacts")

    def log(self, pod: str) -> str | None:
        path = self.folder / "pods" / pod / "log.txt"
        return path.read_text("utf-8", "replace") if path.is_file() else None

    def started(self, pod: str) -> bool:
        return pod in self._started

    def run(self, task: ContainerTask, stop: threading.Event) -> Result:
        place = self.folder / "pods" / task.pod
        place.mkdir(parents=True)
        try:
            environment = self._environment(task, place)
        except KeyError:
            # CreateContainerConfigError, ImagePullBackOff: the kubelet tries again for ever.
            stop.wait()
            raise Stopped from None
        task.output_folder = str(place / "outputs")
        executor_input = task.executor_input()
        log = place / "log.txt"
        self._started.add(task.pod)
        with log.open("wb") as output:
            process = subprocess.Popen(
                task.command(executor_input),
                cwd=place,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            while process.poll() is None:
                if stop.wait(0.05):
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait(30)
                    raise Stopped
        words = (place / "termination-log").read_text("utf-8")
        if process.returncode:
            reason = f"main: Error (exit code {process.returncode})"
            raise PodFailed(f"{reason}: {words}" if words else reason)
        return task.result(
            Path(executor_input["outputs"]["outputFile"]).read_text(), executor_input
        )

    def _environment(self, task: ContainerTask, place: Path) -> dict[str, str]:
        """Raises KeyError for a Secret, a ConfigMap or an image that does not exist."""
        if self.images and task.container.image not in self.images:
            raise KeyError(task.container.image)
        termination = place / "termination-log"
        termination.touch()
        environment = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(place),
            "TMPDIR": str(place),
            "PYTHONPATH": str(REPOSITORY),  # what the image has installed
            "TAGLOOM_TERMINATION_LOG": str(termination),
        }
        values = {variable.name: variable.value for variable in task.container.env}
        config = task.kubernetes
        for kind, entries, maps in (
            ("secret", config.secret_as_env, self.secrets),
            ("config_map", config.config_map_as_env, self.config_maps),
        ):
            for entry in entries:
                data = maps[getattr(entry, f"{kind}_name")]
                for pair in entry.key_to_env:
                    values[pair.env_var] = data[getattr(pair, f"{kind}_key")]
        for kind, volumes, maps in (
            ("secret", config.secret_as_volume, self.secrets),
            ("config_map", config.config_map_as_volume, self.config_maps),
        ):
            for volume in volumes:
                data = maps[getattr(volume, f"{kind}_name")]
                mounted = place / "mounts" / volume.mount_path.lstrip("/")
                mounted.mkdir(parents=True)
                for name, value in data.items():
                    (mounted / name).write_text(value)
                values = {
                    key: value.replace(volume.mount_path, str(mounted))
                    for key, value in values.items()
                }
        return environment | values
