"""What is wrong with an installation is said in one sentence that tells what to do, within a
minute: by the services in their pods, on a real kubelet, before a real object store."""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from installed import Installed, Pod
from quickstart import Quickstart

MINUTE = 60.0
ADMIN = """\
import json, os, sys
from minio.credentials.providers import StaticProvider
from minio.minioadmin import MinioAdmin
keys = StaticProvider(os.environ["ROOT_USER"], os.environ["ROOT_PASSWORD"])
admin = MinioAdmin(endpoint="minio.tagloom.svc:9000", credentials=keys, secure=False)
admin.bucket_quota_set("tagloom", int(sys.argv[1]))
"""

Configure = Callable[..., None]


@pytest.fixture(scope="module")
def configure(installed: Installed) -> Iterator[Configure]:
    """Gives the trainer other settings than it was installed with, and starts it anew."""
    before = installed.get("configmap", "tagloom-trainer")["data"]
    named: set[str] = set()

    def change(**data: str) -> None:
        named.update(data)
        kept = {key: before.get(key) for key in named}
        installed.configure("trainer", {**kept, **data})

    yield change
    change()


@pytest.mark.parametrize(
    ("settings", "reason", "words"),
    [
        (
            {"TAGLOOM_JOB_IMAGE": "tagloom/trainign:0.1.0"},
            "TRAINING_IMAGE_UNAVAILABLE",
            ("The training image tagloom/trainign:0.1.0 cannot be had", "correct TAGLOOM_JOB_IMAG"),
        ),
        (
            {"TAGLOOM_JOB_ENV_FROM": "configmap/tagloom-store,secret/nowhere"},
            "TRAINING_CONFIGURATION_MISSING",
            ('secret "nowhere" not found', "create it in the namespace tagloom"),
        ),
        (
            {"TAGLOOM_JOB_ENV_FROM": "configmap/tagloom-store,secret/wrong-keys"},
            "STORE_CREDENTIALS_REFUSED",
            ("does not accept the credentials", "check MINIO_ACCESS_KEY and MINIO_SECRET_KEY"),
        ),
        (
            {"TAGLOOM_JOB_NAMESPACE": "default"},
            "CLUSTER_FORBIDDEN",
            ("in the namespace default", "apply k8s/base there"),
        ),
    ],
    ids=["image", "secret", "keys", "namespace"],
)
def test_a_training_that_cannot_be(
    installed: Installed,
    quickstart: Quickstart,
    configure: Configure,
    settings: dict[str, str],
    reason: str,
    words: tuple[str, ...],
) -> None:
    wrong = {"MINIO_ACCESS_KEY": "somebody", "MINIO_SECRET_KEY": "something-else"}
    installed.cluster.apply(secret("wrong-keys", wrong))
    configure(**settings)
    run = f"refused-{reason.lower().replace('_', '-')}"
    began = time.monotonic()
    with train(installed, run, quickstart.dataset) as client:
        _, err = client.communicate(timeout=MINUTE)
    assert time.monotonic() - began < MINUTE
    assert client.returncode == 1
    is_one_sentence(err, reason, *words)


def test_no_node_has_so_many_gpus(
    installed: Installed, quickstart: Quickstart, configure: Configure
) -> None:
    """That may change at any moment, so the run waits; and says for what."""
    configure(TAGLOOM_JOB_GPUS="8")
    with train(installed, "no-gpus", quickstart.dataset) as client:

        def says() -> Any:
            document = document_of(installed, "runs/no-gpus")
            return document if "Waits for a node" in document.get("message", "") else None

        run = installed.cluster.wait("a word about it", says, seconds=MINUTE)
        assert run["state"] == "queued"
        assert "8 nvidia.com/gpu free: 0/1 nodes are available: 1 Insufficient" in run["message"]
        assert "tagloom stop ends the wait" in run["message"]
        installed.tagloom("stop", "runs/no-gpus")
        client.communicate(timeout=MINUTE)
    assert document_of(installed, "runs/no-gpus")["state"] == "stopped"


def test_a_bucket_that_is_full(
    installed: Installed, quickstart: Quickstart, configure: Configure
) -> None:
    configure()
    quota(installed, 100_000)
    try:
        began = time.monotonic()
        with train(installed, "full", quickstart.dataset) as client:
            _, err = client.communicate(timeout=MINUTE)
        assert time.monotonic() - began < MINUTE
        assert client.returncode == 1
        is_one_sentence(err, "STORE_FULL", "is full", "nothing that was there is changed: free")
    finally:
        quota(installed, 0)
    # With room again the same command goes through: nothing is in its way.
    with train(installed, "room-again", quickstart.dataset) as client:
        _, err = client.communicate(timeout=300)
    assert client.returncode == 0, err


def test_services_say_which_secret_is_missing_and_start_once_it_is_there(
    installed: Installed,
) -> None:
    """The old pod serves until then."""
    kept, before = installed.get("secret", "tagloom-token"), settled(installed)
    installed.kubectl("delete", "secret", "tagloom-token")
    try:
        installed.kubectl("rollout", "restart", "deployment/generator")

        def told() -> list[str]:
            events = installed.get("events", "--field-selector=type=Warning")["items"]
            return [
                event["message"]
                for event in events
                if event["involvedObject"]["name"].startswith("generator-")
                and 'secret "tagloom-token" not found' in event["message"]
            ]

        installed.cluster.wait("an event that names it", told, seconds=MINUTE)
        assert before.uid in {pod.uid for pod in installed.pods(name="generator")}
        assert isinstance(installed.tagloom("ls", "networks"), list)
    finally:
        installed.cluster.apply(secret("tagloom-token", data=kept["data"]))
    assert settled(installed).uid != before.uid


def test_services_say_that_the_keys_are_wrong(installed: Installed) -> None:
    kept, before = installed.get("secret", "tagloom-store"), settled(installed)
    wrong = {"MINIO_ACCESS_KEY": "somebody", "MINIO_SECRET_KEY": "something-else"}
    installed.cluster.apply(secret("tagloom-store", wrong))
    try:
        installed.kubectl("rollout", "restart", "deployment/generator")

        def told() -> str:
            waits = [pod.name for pod in installed.pods(name="generator") if pod.uid != before.uid]
            if not waits:
                return ""
            log = ("logs", waits[0], "-c", "wait-for-store")
            said = installed.cluster.kubectl("-n", "tagloom", *log, check=False)
            return said if "MINIO_ACCESS_KEY" in said else ""

        said = installed.cluster.wait("a log that says so", told, seconds=MINUTE)
        (line,) = said.splitlines()
        is_one_sentence(
            line.removeprefix("Waits for the store. "),
            "STORE_CREDENTIALS_REFUSED",
            "does not accept the credentials",
            "check MINIO_ACCESS_KEY and MINIO_SECRET_KEY",
        )
    finally:
        installed.cluster.apply(secret("tagloom-store", data=kept["data"]))
    installed.kubectl("rollout", "restart", "deployment/generator")
    settled(installed)


def settled(installed: Installed) -> Pod:
    """The generator's pod, once there is no other of former times."""
    installed.kubectl("rollout", "status", "deployment/generator", "--timeout=240s")

    def single() -> list[Pod]:
        pods = installed.pods(name="generator")
        return pods if len(pods) == 1 else []

    (pod,) = installed.cluster.wait("the old pod's end", single, seconds=90)
    return pod


def train(installed: Installed, run: str, dataset: str) -> Any:
    """A client that trains a little and waits."""
    command = ["-m", "tagloom.cli", "train", "--run", run, "--start", "photos-32"]
    command += ["--dataset", dataset, "--batch", "16", "--kimg", "0.032"]
    return installed.client(*command)


def is_one_sentence(said: str, reason: str, *words: str) -> None:
    """The command's last line; what stands above it is how it went on."""
    line = said.strip().splitlines()[-1]
    assert line.endswith(f" [{reason}]"), said
    for word in words:
        assert word in line
    assert ". " not in line.removesuffix(f" [{reason}]").replace("...", ""), line
    assert "Traceback" not in said


def document_of(installed: Installed, run: str) -> Any:
    try:
        return installed.tagloom("get", run)
    except AssertionError:
        return {}  # not there yet


def secret(
    name: str, strings: dict[str, str] | None = None, *, data: dict[str, str] | None = None
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "tagloom"},
        **({"data": data} if data else {"stringData": strings}),
    }


def quota(installed: Installed, size: int) -> None:
    """So many bytes may lie in the bucket; 0: any number."""
    data = installed.get("secret", "minio-root")["data"]
    keys = {key: base64.b64decode(value).decode() for key, value in data.items()}
    root = {f"ROOT_{key.removeprefix('MINIO_ROOT_')}": value for key, value in keys.items()}
    installed.cluster.run(sys.executable, "-c", ADMIN, json.dumps(size), **root)
