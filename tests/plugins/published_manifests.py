"""Custom resource definitions and webhooks as their projects publish them, out of their Go modules.

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
from typing import Any

import yaml

from tools.minio_build import cache

__all__ = ["JOBSET", "PROMETHEUS_OPERATOR", "TRAINER", "Published", "definitions", "webhooks"]


@dataclass(frozen=True)
class Published:
    """A Go module, and where in it the YAML lies."""

    module: str
    version: str
    definitions: str
    """folder of the custom resource definitions"""
    webhooks: str = ""
    """file of the webhooks' configurations"""


# Their controllers are built by tests/cluster/machine/build, of the same versions.
TRAINER = Published(
    "github.com/kubeflow/trainer/v2",
    "v2.3.0",
    "manifests/base/crds",
    "manifests/base/webhook/manifests.yaml",
)
JOBSET = Published(
    "sigs.k8s.io/jobset",
    "v0.12.0",
    "config/components/crd/bases",
    "config/components/webhook/manifests.yaml",
)
PROMETHEUS_OPERATOR = Published(
    "github.com/prometheus-operator/prometheus-operator",
    "v0.85.0",
    "example/prometheus-operator-crd",
)


def definitions(published: Published) -> list[Path]:
    """The definitions' files. Raises RuntimeError where the module cannot be had."""
    return sorted((_kept(published) / "definitions").glob("*.yaml"))


def webhooks(published: Published) -> list[dict[str, Any]]:
    """The configurations of its webhooks. Raises as `definitions`."""
    text = (_kept(published) / "webhooks.yaml").read_text(encoding="utf-8")
    return [document for document in yaml.safe_load_all(text) if document]


def _kept(published: Published) -> Path:
    name = f"{published.module.replace('/', '-')}@{published.version}"
    kept = cache() / "manifests" / name
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
            module = _download(published, Path(scratch))
            found = [
                path
                for path in (module / published.definitions).glob("*.yaml")
                if "kind: CustomResourceDefinition" in path.read_text(encoding="utf-8")
            ]
            if not found:
                raise RuntimeError(
                    f"{published.module} has no definitions in {published.definitions}"
                )
            draft = Path(scratch) / "kept"
            (draft / "definitions").mkdir(parents=True)
            for path in found:
                shutil.copy(path, draft / "definitions")
            if published.webhooks:
                shutil.copy(module / published.webhooks, draft / "webhooks.yaml")
            draft.rename(kept)
    return kept


def _download(published: Published, scratch: Path) -> Path:
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
    return Path(json.loads(done.stdout)["Dir"])
