"""What a cluster refuses: one sentence that says what is wrong and what to do, within a minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from live_cluster import Cluster as Plane
from played_node import PlayedNode, wait_until

from services.trainer import records
from services.trainer.launch import Assignment
from services.trainer.launch.cluster import JOB, POD, TRAIN_JOB, Cluster, Expired
from services.trainer.launch.kubernetes import ClusterLauncher
from services.trainer.launch.manifests import job_manifest, train_job_manifest
from services.trainer.launch.mirror import Mirror
from services.trainer.launch.settings import EnvSource, JobSettings, Toleration
from tagloom.artifacts.run import Run
from tagloom.errors import (
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from tagloom.store import Store
from tests.cluster.launch.accounts import account_config

ASSIGNMENT = Assignment("s3://tagloom", "dry", "operations/trainer.1")
FULL = JobSettings(
    image="registry.example/tagloom/training:0.1.0",
    image_pull_secrets=("registry",),
    gpus=8,
    processes=8,
    cpu="32",
    cpu_limit="32",
    memory="64Gi",
    node_selector=(("nvidia.com/gpu.product", "A100"),),
    tolerations=(Toleration("nvidia.com/gpu"), Toleration("a", "b", "NoSchedule")),
    runtime_class="nvidia",
    priority_class="low",
    queue="training",
    env=(("HTTPS_PROXY", "http://proxy:3128"),),
)


def test_the_api_server_takes_every_setting_strictly(plane: Plane, cluster: Cluster) -> None:
    priority = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": "low"},
        "value": -1,
    }
    plane.apply(priority)
    made = cluster.create(JOB, job_manifest(FULL, ASSIGNMENT, "s3://tagloom"))
    assert made is not None
    try:
        assert made["spec"]["suspend"] is True
        assert cluster.create(JOB, job_manifest(FULL, ASSIGNMENT, "s3://tagloom")) is None
        found = cluster.read(JOB, "train-dry")
        assert found is not None
        assert found["metadata"]["uid"] == made["metadata"]["uid"]
    finally:
        cluster.delete(JOB, "train-dry", made["metadata"]["uid"])
        cluster.delete(JOB, "train-dry", made["metadata"]["uid"])  # once more does no harm
    wait_until("it is gone", lambda: cluster.read(JOB, "train-dry") is None)
    unknown = job_manifest(FULL, ASSIGNMENT, "s3://tagloom")
    unknown["spec"]["template"]["spec"]["nodeSelectors"] = {}
    with pytest.raises(InvalidArgument, match=r'unknown field "spec.template.spec.nodeSel') as got:
        cluster.create(JOB, unknown)
    assert got.value.reason == "MANIFEST_REFUSED"


def test_an_image_that_is_not_there(
    plane: Plane,
    played_node: PlayedNode,
    store: Store,
    make_run: Callable[..., Run],
    follow: Callable[..., Any],
) -> None:
    played_node.missing_images.add("tagloom/trainign:0.1.0")
    began = time.monotonic()
    following = follow(make_run("r"), image="tagloom/trainign:0.1.0")
    with pytest.raises(FailedPrecondition, match="correct TAGLOOM_JOB_IMAGE") as caught:
        following.result.result(60)
    assert time.monotonic() - began < 60
    assert caught.value.reason == "TRAINING_IMAGE_UNAVAILABLE"
    assert "tagloom/trainign:0.1.0" in caught.value.message
    run = records.read_run(store, "r")
    assert (run.state, run.message) == ("failed", caught.value.message)
    wait_until("no Job is left", lambda: not plane.get("jobs", "-n", "tagloom")["items"])


def test_a_secret_that_is_not_there(
    played_node: PlayedNode, make_run: Callable[..., Run], follow: Callable[..., Any]
) -> None:
    following = follow(make_run("r"), env_from=(EnvSource("secret", "keys"),))
    with pytest.raises(FailedPrecondition, match='secret "keys" not found; create it') as caught:
        following.result.result(60)
    assert caught.value.reason == "TRAINING_CONFIGURATION_MISSING"


def test_a_secret_with_the_wrong_keys(
    plane: Plane,
    played_node: PlayedNode,
    store: Store,
    make_run: Callable[..., Run],
    follow: Callable[..., Any],
) -> None:
    wrong = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "wrong", "namespace": "tagloom"},
        "stringData": {"MINIO_ACCESS_KEY": "somebody", "MINIO_SECRET_KEY": "something-else"},
    }
    plane.apply(wrong)
    sources = (EnvSource("configmap", "tagloom-store"), EnvSource("secret", "wrong"))
    following = follow(make_run("r"), env_from=sources)
    with pytest.raises(Unauthenticated, match="MINIO_ACCESS_KEY") as caught:
        following.result.result(120)
    assert len(played_node.commands) == 1, "what cannot succeed was tried again"
    assert records.read_run(store, "r").message == caught.value.message


def test_memory_that_is_not_enough(
    played_node: PlayedNode, make_run: Callable[..., Run], follow: Callable[..., Any]
) -> None:
    played_node.starts = False
    following = follow(make_run("r"), retries=0)
    pod = wait_until("its pod is bound", lambda: bound_to(played_node), 60)
    killed = {"exitCode": 137, "reason": "OOMKilled"}
    played_node.show(pod, "Failed", {"terminated": killed})
    with pytest.raises(ResourceExhausted, match=r"its limit is 1Gi.*TAGLOOM_JOB_MEMORY") as caught:
        following.result.result(60)
    assert caught.value.reason == "TRAINING_OUT_OF_MEMORY"


def bound_to(node: PlayedNode) -> Any:
    selector = f"spec.nodeName={node.name}"
    items = node.api.list_pod_for_all_namespaces(field_selector=selector).items
    return node.api.api_client.sanitize_for_serialization(items[0]) if items else None


def test_a_quota_is_waited_for(
    plane: Plane,
    played_node: PlayedNode,
    make_run: Callable[..., Run],
    follow: Callable[..., Any],
) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "tight", "namespace": "tagloom"},
        "spec": {"hard": {"requests.nvidia.com/gpu": "4"}},
    }
    plane.apply(quota)
    status = ("resourcequota", "tight", "-n", "tagloom")
    wait_until("the quota counts", lambda: plane.get(*status)["status"].get("hard"))
    following = follow(make_run("r"), gpus=8)
    words = "The namespace's quota has no room for the training pod: "
    wait_until("it says so", lambda: following.heard(words), 60)
    assert following.heard("exceeded quota: tight, requested: requests.nvidia.com/gpu=8")
    assert not following.result.done()
    following.wish = "cancel"
    assert following.result.exception(60) is not None
    plane.kubectl("delete", *status)


def test_a_namespace_without_rights(
    plane: Plane, trainer_config: Path, store: Store, make_run: Callable[..., Run], tmp_path: Path
) -> None:
    plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    config = account_config(plane, "tagloom", "trainer", tmp_path)
    other = Cluster.connect("other", {"KUBECONFIG": str(config)})
    launcher = ClusterLauncher.of_jobs(other, JobSettings(image="i:1", namespace="other"))
    with pytest.raises(PermissionDenied, match=r"may not get jobs in the namespace other") as got:
        launcher.adopt(Assignment(store.url, "r"))
    assert got.value.reason == "CLUSTER_FORBIDDEN"
    assert "apply k8s/base there" in got.value.message
    with pytest.raises(PermissionDenied, match="may not list pods"):
        other.list(POD, {})


def test_a_token_that_is_nobodys_and_a_server_that_is_not_there(
    plane: Plane, trainer_config: Path, tmp_path: Path
) -> None:
    text = trainer_config.read_text()
    bad = tmp_path / "bad"
    token = Cluster.connect("", {"KUBECONFIG": str(trainer_config)})
    header = token._client.configuration.api_key["authorization"].removeprefix("Bearer ")
    bad.write_text(text.replace(header, "nobody"))
    with pytest.raises(Unauthenticated, match="does not know who is asking") as caught:
        Cluster.connect("", {"KUBECONFIG": str(bad)}).read(JOB, "x")
    assert caught.value.reason == "CLUSTER_UNAUTHENTICATED"
    port = token._client.configuration.host.rsplit(":", 1)[1]
    bad.write_text(text.replace(f":{port}", ":1"))
    with pytest.raises(Unavailable, match="does not answer") as lost:
        Cluster.connect("", {"KUBECONFIG": str(bad)}).read(JOB, "x")
    assert lost.value.reason == "CLUSTER_UNREACHABLE"


def test_without_kubeflow_a_train_job_says_what_is_missing(cluster: Cluster) -> None:
    with pytest.raises(FailedPrecondition, match="install Kubeflow Trainer v2") as caught:
        cluster.create(TRAIN_JOB, train_job_manifest(FULL, ASSIGNMENT, "s3://tagloom"))
    assert caught.value.reason == "TRAINJOB_NOT_INSTALLED"


def test_a_folder_is_no_store_for_pods(cluster: Cluster, tmp_path: Path) -> None:
    launcher = ClusterLauncher.of_jobs(cluster, JobSettings(image="i:1"))
    with pytest.raises(FailedPrecondition, match="give the trainer one that they can") as caught:
        launcher.start(Assignment(f"file://{tmp_path}", "r"))
    assert caught.value.reason == "STORE_NOT_SHARED"


def test_a_job_of_another_store_is_left_alone(cluster: Cluster) -> None:
    made = cluster.create(JOB, job_manifest(FULL, ASSIGNMENT, "s3://tagloom"))
    assert made is not None
    launcher = ClusterLauncher.of_jobs(cluster, FULL)
    with pytest.raises(FailedPrecondition, match="is not of runs/dry in this store") as caught:
        launcher.adopt(Assignment("s3://other", "dry", "operations/trainer.1"))
    assert caught.value.reason == "JOB_NAME_TAKEN"
    cluster.delete(JOB, "train-dry", made["metadata"]["uid"])


def test_a_watch_that_breaks_or_comes_too_late_begins_anew(plane: Plane, cluster: Cluster) -> None:
    with pytest.raises(Expired):
        for _ in cluster.watch(POD, {}, "1"):
            pass
    mirror = Mirror(cluster, JOB, labelSelector="test=mirror")
    mirror.start()
    try:
        wait_until("the first list", lambda: mirror.lists)
        assert mirror.objects() == []
        stream = wait_until("the watch", lambda: mirror._stream)
        stream.interrupt()
        wait_until("another list", lambda: mirror.lists > 1)
        manifest = job_manifest(FULL, ASSIGNMENT, "s3://tagloom")
        manifest["metadata"]["labels"]["test"] = "mirror"
        made = cluster.create(JOB, manifest)
        assert made is not None
        uid = made["metadata"]["uid"]
        wait_until("what was made is seen", lambda: mirror.get(uid))
        cluster.delete(JOB, "train-dry", uid)
        wait_until("and that it went", lambda: uid in mirror.removed)
        assert mirror.trouble is None
    finally:
        mirror.close()
    assert not mirror._thread.is_alive()
