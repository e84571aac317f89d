"""A control plane with one played node, a real object store, and a trainer with its own rights."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from live_cluster import Cluster as Plane
from live_cluster import running
from played_node import PlayedNode
from training_pieces import TINY, write_dataset

from services.trainer import records
from services.trainer.follow import Follower, StopReason
from services.trainer.launch.cluster import Cluster
from services.trainer.launch.kubernetes import ClusterLauncher
from services.trainer.launch.settings import JobSettings
from services.trainer.options import RequestedOptions, plan_run
from tagloom.artifacts import layout
from tagloom.artifacts.run import Run
from tagloom.store import Store, open_store
from tests.cluster.launch.accounts import account_config

ROOT = Path(__file__).resolve().parents[3]
NAMESPACE = "tagloom"
GPUS = 8


@pytest.fixture(scope="module")
def plane(programs: Path) -> Iterator[Plane]:
    """API server, scheduler and controllers, without a node."""
    with running("none", programs) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def trainer_config(plane: Plane, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kubeconfig of the trainer's service account, with the rights of k8s/base."""
    accounts = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        for name in ("trainer", "training")
    ]
    for account in accounts:
        account["metadata"]["namespace"] = NAMESPACE  # type: ignore[index]
    plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    plane.apply(*accounts)
    role = str(ROOT / "k8s" / "base" / "trainer-role.yaml")
    plane.kubectl("apply", "-n", NAMESPACE, "-f", role)
    return account_config(plane, NAMESPACE, "trainer", tmp_path_factory.mktemp("trainer"))


@pytest.fixture(scope="module")
def cluster(trainer_config: Path) -> Cluster:
    """The namespace, as the trainer sees it."""
    return Cluster.connect("", {"KUBECONFIG": str(trainer_config)})


@pytest.fixture
def played_node(plane: Plane, tmp_path: Path) -> Iterator[PlayedNode]:
    """A node of 8 GPUs."""
    folder = tmp_path / "pods"
    folder.mkdir()
    node = PlayedNode(plane.kubeconfig, f"node-{uuid.uuid4().hex[:6]}", folder, gpus=GPUS)
    node.start()
    yield node
    node.stop()
    plane.kubectl("delete", "jobs", "--all", "-n", NAMESPACE, "--wait=false")
    pods = ("delete", "pods", "--all", "-n", NAMESPACE, "--force", "--grace-period=0")
    plane.kubectl(*pods, check=False)
    plane.kubectl("delete", "node", node.name)


@pytest.fixture
def store(plane: Plane, trainer_config: Path, minio_user: dict[str, str], s3_url: str) -> Store:
    """An empty store, which the namespace's ConfigMap and Secret lead to."""
    configuration = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "tagloom-store", "namespace": NAMESPACE},
        "data": {"MINIO_ENDPOINT": minio_user["MINIO_ENDPOINT"]},
    }
    keys = {name: minio_user[name] for name in ("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY")}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "tagloom-store", "namespace": NAMESPACE},
        "stringData": keys,
    }
    plane.apply(configuration, secret)
    store = open_store(s3_url)
    write_dataset(store)
    return store


@pytest.fixture
def make_run(store: Store) -> Callable[..., Run]:
    """Enters a tiny run into the store, of an operation's."""

    def make(run_id: str, *, operation: str = "operations/trainer.1", **options: Any) -> Run:
        requested = RequestedOptions(**{**TINY, **options})
        run = plan_run(store, run_id, "datasets/d", "", requested)
        run = run.model_copy(update={"operation": operation})
        run.create(store, layout.run_document(run_id), f"runs/{run_id}")
        return run

    return make


class Following:
    """A follower at work in a thread, as the trainer's server has it."""

    def __init__(
        self, store: Store, cluster: Cluster, run: Run, settings: dict[str, Any], retries: int
    ) -> None:
        chosen: dict[str, Any] = {
            "image": "tagloom/training:0.1.0",
            "cpu": "500m",
            "cpu_limit": "1",
            "memory": "1Gi",
            "start_grace_s": 3,
            "retries": retries,
            "env": (("TAGLOOM_STATE_IMAGES", "12"),),
            **settings,
        }
        self.said: list[str] = []
        self.wish: StopReason | None = None
        self._follower = Follower(
            store=store,
            launcher=ClusterLauncher.of_jobs(cluster, JobSettings(**chosen)),
            note=lambda phase, done, total, message="": self._hear(message),
            stop=lambda: self.wish,
            operation=run.operation,
            lease_s=1.0,
        )
        self.result: Future[Run] = Future()
        self._run = run
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _hear(self, message: str) -> None:
        if message and message not in self.said[-1:]:
            self.said.append(message)

    def _follow(self) -> None:
        try:
            self.result.set_result(self._follower.run(self._run.id, lambda store, run: run))
        except BaseException as error:
            self.result.set_exception(error)

    def heard(self, words: str) -> bool:
        """Whether it has said this."""
        return any(words in message for message in self.said)


@pytest.fixture
def follow(store: Store, cluster: Cluster) -> Iterator[Callable[..., Following]]:
    """Has a run trained by the cluster, and watches it."""
    begun: list[Following] = []

    def begin(run: Run, retries: int = 3, **settings: Any) -> Following:
        begun.append(Following(store, cluster, run, settings, retries))
        return begun[-1]

    yield begin
    for following in begun:
        following.wish = "hand back"


@pytest.fixture
def images_seen(store: Store) -> Callable[[str], int]:
    """How far a run has come."""

    def look(run_id: str) -> int:
        progress = records.read_progress(store, run_id)
        return progress.images_seen if progress else 0

    return look
