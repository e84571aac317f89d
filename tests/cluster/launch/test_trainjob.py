"""A training over several nodes: our TrainJob before Kubeflow Trainer's own definitions."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from live_cluster import Cluster as Plane
from published_crds import JOBSET, TRAINER, files

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
def kubeflow(plane: Plane, trainer_config: Path) -> Plane:
    """The plane, knowing TrainJobs and JobSets, with our runtime."""
    for path in [*files(TRAINER), *files(JOBSET)]:
        plane.kubectl("apply", "--server-side", "-f", str(path))
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    runtime = ROOT / "k8s" / "components" / "trainjob" / "runtime.yaml"
    plane.kubectl("apply", "--validate=strict", "-f", str(runtime))
    return plane


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
