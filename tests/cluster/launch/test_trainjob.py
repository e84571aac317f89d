"""A training over two nodes: our TrainJob before Kubeflow Trainer's definitions and controller.

What the controller makes of it is checked here; that such pods train is for a kubelet to show.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubeflow_controllers import controlling
from live_cluster import Cluster as Plane
from played_node import wait_until

from services.trainer.launch import Assignment
from services.trainer.launch.cluster import TRAIN_JOB, Cluster
from services.trainer.launch.kubernetes import ClusterLauncher
from services.trainer.launch.manifests import job_manifest, train_job_manifest
from services.trainer.launch.settings import JobSettings
from tagloom.errors import InvalidArgument

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = JobSettings(
    image="tagloom/training:0.1.0",
    nodes=2,
    processes=4,
    gpus=4,
    cpu="8",
    cpu_limit="8",
    memory="32Gi",
    node_selector=(("nvidia.com/gpu.product", "A100"),),
    env=(("TAGLOOM_STATE_SECONDS", "30"),),
)
ASSIGNMENT = Assignment("s3://tagloom", "wide", "operations/trainer.1", lease_s=5.0)


@pytest.fixture(scope="module")
def kubeflow(
    plane: Plane, trainer_config: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Plane]:
    """The plane, with the controllers of Kubeflow Trainer and JobSet, and our runtime."""
    with controlling(plane, tmp_path_factory.mktemp("controllers")):
        runtime = ROOT / "k8s" / "components" / "trainjob" / "runtime.yaml"
        plane.kubectl("apply", "--validate=strict", "-f", str(runtime))
        yield plane


@pytest.fixture(scope="module")
def job_set(kubeflow: Plane, cluster: Cluster) -> Any:
    """What Trainer's controller makes of our TrainJob."""
    made = cluster.create(TRAIN_JOB, train_job_manifest(SETTINGS, ASSIGNMENT, "s3://tagloom"))
    assert made is not None
    named = ("jobsets", "-n", "tagloom", "--field-selector=metadata.name=train-wide")
    return wait_until("a JobSet", lambda: kubeflow.get(*named)["items"], 60)[0]


def test_the_definitions_take_our_train_job_strictly(kubeflow: Plane, cluster: Cluster) -> None:
    other = Assignment("s3://tagloom", "strict", "operations/trainer.1")
    manifest = train_job_manifest(SETTINGS, other, "s3://tagloom")
    made = cluster.create(TRAIN_JOB, manifest)
    assert made is not None
    assert made["spec"]["trainer"]["numNodes"] == 2
    launcher = ClusterLauncher.of_train_jobs(cluster, SETTINGS)
    found = launcher.adopt(other)
    assert found is not None
    found.close()
    cluster.delete(TRAIN_JOB, "train-strict", made["metadata"]["uid"])
    manifest["spec"]["trainer"]["nodes"] = 2
    with pytest.raises(InvalidArgument, match=r'unknown field "spec\.trainer\.nodes"'):
        cluster.create(TRAIN_JOB, manifest)


def test_the_controller_makes_a_job_set_of_two_nodes(job_set: Any) -> None:
    assert job_set["metadata"]["name"] == "train-wide"
    (owner,) = job_set["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("TrainJob", "train-wide")
    (node,) = job_set["spec"]["replicatedJobs"]
    assert node["name"] == "node"
    spec = node["template"]["spec"]
    assert (spec["parallelism"], spec["completions"]) == (2, 2)
    (container,) = spec["template"]["spec"]["containers"]
    variables = {entry["name"]: entry for entry in container["env"]}
    assert variables["PET_NNODES"]["value"] == "2"
    assert variables["PET_NPROC_PER_NODE"]["value"] == "4"
    assert variables["PET_MASTER_ADDR"]["value"] == "train-wide-node-0-0.train-wide"
    assert variables["PET_MASTER_PORT"]["value"] == "29500"
    assert "job-completion-index" in str(variables["PET_NODE_RANK"]["valueFrom"])
    assert variables["TAGLOOM_STATE_SECONDS"]["value"] == "30"
    assert container["resources"]["limits"]["nvidia.com/gpu"] in ("4", 4)
    assert container["command"][-6:] == [
        *("--store", "s3://tagloom", "--run", "wide"),
        *("--lease-s", "5"),
    ]
    pod = spec["template"]["spec"]
    assert pod["nodeSelector"] == {"nvidia.com/gpu.product": "A100"}
    assert pod["serviceAccountName"] == "training"
    labels = spec["template"]["metadata"]["labels"]
    assert labels["tagloom.dev/run"] == "wide"
    assert labels["app.kubernetes.io/name"] == "training"


def test_any_end_of_a_rank_starts_all_anew_and_disruptions_do_not_count(job_set: Any) -> None:
    policy = job_set["spec"]["failurePolicy"]
    assert policy["maxRestarts"] == 3
    (rule,) = policy["rules"]
    assert rule["action"] == "RestartJobSetAndIgnoreMaxRestarts"
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]
    job = job_set["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert job["backoffLimit"] == 0
    disrupted, interrupted = job["podFailurePolicy"]["rules"]
    assert disrupted["action"] == interrupted["action"] == "FailJob"
    assert disrupted["onPodConditions"][0]["type"] == "DisruptionTarget"
    assert interrupted["onExitCodes"]["values"] == [75]


def test_the_runtime_and_the_job_make_the_same_pods() -> None:
    text = (ROOT / "k8s" / "components" / "trainjob" / "runtime.yaml").read_text()
    runtime = next(yaml.safe_load_all(text))
    theirs = runtime["spec"]["template"]["spec"]["replicatedJobs"][0]["template"]["spec"][
        "template"
    ]
    wide = JobSettings(image="tagloom/training:0.1.0", processes=4)
    ours = job_manifest(wide, ASSIGNMENT, "s3://tagloom")["spec"]["template"]
    for key in (
        "automountServiceAccountToken",
        "enableServiceLinks",
        "restartPolicy",
        "securityContext",
        "serviceAccountName",
        "terminationGracePeriodSeconds",
    ):
        assert theirs["spec"][key] == ours["spec"][key], key
    (one,), (other,) = theirs["spec"]["containers"], ours["spec"]["containers"]
    for key in (
        "name",
        "envFrom",
        "securityContext",
        "terminationMessagePath",
        "terminationMessagePolicy",
    ):
        assert one[key] == other[key], key
    assert {m["mountPath"] for m in one["volumeMounts"]} == {
        m["mountPath"] for m in other["volumeMounts"]
    }
