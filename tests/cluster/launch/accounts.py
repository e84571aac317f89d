"""Service accounts of a cluster, as programs outside of it use them."""

from __future__ import annotations

import json
from pathlib import Path

from live_cluster import Cluster as Plane

__all__ = ["account_config"]


def account_config(plane: Plane, namespace: str, account: str, folder: Path) -> Path:
    """A kubeconfig with a token of that service account."""
    token = plane.kubectl("create", "token", account, "-n", namespace).strip()
    admin = json.loads(plane.kubectl("config", "view", "--raw", "-o", "json"))
    admin["users"] = [{"name": account, "user": {"token": token}}]
    context = {"cluster": admin["clusters"][0]["name"], "user": account, "namespace": namespace}
    admin["contexts"] = [{"name": "test", "context": context}]
    admin["current-context"] = "test"
    path = folder / "kubeconfig"
    path.write_text(json.dumps(admin))
    return path
