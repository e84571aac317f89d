"""Custom resource definitions as their projects publish them, out of their Go modules.

A module is downloaded once, its YAML kept in the cache, the rest thrown away. Kueue's module is
served by no registry here: tests/cluster/crds has a schema of our own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tools.minio_build import cache

__all__ = ["JOBSET", "PROMETHEUS_OPERATOR", "TRAINER", "Published", "files"]


@dataclass(frozen=True)
class Published:
    """A Go module, and the folder of it where the definitions lie."""

    module: str
    version: str
    folder: str


TRAINER = Published("github.com/kubeflow/trainer/v2", "v2.3.0", "manifests/base/crds")
JOBSET = Published("sigs.k8s.io/jobset", "v0.12.0", "config/components/crd/bases")
PROMETHEUS_OPERATOR = Published(
    "github.com/prometheus-operator/prometheus-operator",
    "v0.85.0",
    "example/prometheus-operator-crd",
)


def files(published: Published) -> list[Path]:
    """The definitions' files. Raises RuntimeError where the module cannot be had."""
    name = f"{published.module.replace('/', '-')}@{published.version}"
    kept = cache() / "crds" / name
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
            found = _download(published, Path(scratch))
            draft = Path(scratch) / "kept"
            draft.mkdir()
            for path in found:
                shutil.copy(path, draft)
            draft.rename(kept)
    return sorted(kept.glob("*.yaml"))


def _download(published: Published, scratch: Path) -> list[Path]:
    module = f"{published.module}@{published.version}"
    environment = {
        **os.environ,
        "GOMODCACHE": str(scratch / "modules"),
        "GOFLAGS": "-modcacherw",
    }
    done = subprocess.run(
        ["go", "mod", "download", "-json", module],
        cwd=scratch,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} cannot be downloaded: {done.stdout}{done.stderr}")
    folder = Path(json.loads(done.stdout)["Dir"]) / published.folder
    found = [
        path
        for path in folder.glob("*.yaml")
        if "kind: CustomResourceDefinition" in path.read_text(encoding="utf-8")
    ]
    if not found:
        raise RuntimeError(f"{module} has no definitions in {published.folder}")
    return found
