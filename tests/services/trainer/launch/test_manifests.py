"""What is asked of a cluster, in every combination of settings."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.trainer.launch import Assignment
from services.trainer.launch.manifests import job_manifest, train_job_manifest
from services.trainer.launch.settings import EnvSource, JobSettings, Toleration
from tagloom.artifacts.layout import RESOURCE_ID

ASSIGNMENT = Assignment("s3://tagloom", "betta", "operations/trainer.1", lease_s=5.0)
PLAIN = JobSettings(image="tagloom/training:0.1.0")

SETTINGS = st.builds(
    JobSettings,
    image=st.just("tagloom/training:0.1.0"),
    gpus=st.integers(0, 8),
    processes=st.integers(1, 8),
    cpu_limit=st.sampled_from(["2", "500m", "16", "2.5"]),
    node_selector=st.just((("nvidia.com/gpu.product", "A100"),)),
    tolerations=st.lists(
        st.builds(Toleration, st.just("key"), st.sampled_from(["", "v"]), st.just("NoSchedule"))
    ).map(tuple),
    runtime_class=st.sampled_from(["", "nvidia"]),
    priority_class=st.sampled_from(["", "low"]),
    queue=st.sampled_from(["", "training"]),
    image_pull_secrets=st.sampled_from([(), ("registry",)]),
    env=st.sampled_from([(), (("TAGLOOM_TORCH_THREADS", "3"),)]),
)


def container(job: dict[str, Any]) -> dict[str, Any]:
    (found,) = job["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def environment(variables: list[dict[str, str]]) -> dict[str, str]:
    found = {variable["name"]: variable["value"] for variable in variables}
    assert len(found) == len(variables), "a variable is given twice"
    return found


@given(SETTINGS, st.from_regex(RESOURCE_ID, fullmatch=True))
def test_every_pod_is_as_tight_as_pod_security_asks(settings: JobSettings, run_id: str) -> None:
    assignment = Assignment("s3://tagloom", run_id, "operations/trainer.1")
    job = job_manifest(settings, assignment, "s3://tagloom")
    pod = job["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    one = container(job)
    assert one["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    mounted = {mount["name"]: mount["mountPath"] for mount in one["volumeMounts"]}
    assert set(mounted) == {volume["name"] for volume in pod["volumes"]}
    assert all("emptyDir" in volume for volume in pod["volumes"])
    assert ("/dev/shm" in mounted.values()) == (settings.processes > 1)
    variables = environment(one["env"])
    assert variables["NUMBA_CACHE_DIR"].startswith("/var/cache/tagloom/")
    assert int(variables["TAGLOOM_TORCH_THREADS"]) >= 1
    assert int(variables["PET_SHUTDOWN_TIMEOUT"]) < pod["terminationGracePeriodSeconds"]
    assert "metadata" in job
    assert "ownerReferences" not in job["metadata"], "a Job is owned by nobody"
    assert job["metadata"]["annotations"]["tagloom.dev/run"] == run_id


def test_a_job_asks_for_the_gpus_of_one_node() -> None:
    settings = JobSettings(
        image="i:1", gpus=8, processes=8, cpu="32", cpu_limit="32", memory="64Gi", retries=5
    )
    job = job_manifest(settings, ASSIGNMENT, "s3://tagloom")
    one = container(job)
    assert one["resources"] == {
        "requests": {"cpu": "32", "memory": "64Gi", "nvidia.com/gpu": "8"},
        "limits": {
            "cpu": "32",
            "memory": "64Gi",
            "ephemeral-storage": "20Gi",
            "nvidia.com/gpu": "8",
        },
    }
    variables = environment(one["env"])
    assert variables["PET_NNODES"] == "1"
    assert variables["PET_NPROC_PER_NODE"] == "8"
    assert variables["TAGLOOM_TORCH_THREADS"] == "4"
    assert one["command"] == [
        *("python", "-m", "services.trainer.launch.container", "--store", "s3://tagloom"),
        *("--run", "betta", "--lease-s", "5"),
    ]
    assert one["envFrom"] == [
        {"configMapRef": {"name": "tagloom-store"}},
        {"secretRef": {"name": "tagloom-store"}},
    ]
    spec = job["spec"]
    assert (spec["backoffLimit"], spec["ttlSecondsAfterFinished"]) == (5, 3600)
    assert "suspend" not in spec
    first = spec["podFailurePolicy"]["rules"][0]
    assert (first["action"], first["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")


def test_a_queue_suspends_until_it_admits() -> None:
    settings = JobSettings(image="i:1", queue="training")
    for manifest in (job_manifest, train_job_manifest):
        made = manifest(settings, ASSIGNMENT, "s3://tagloom")
        assert made["spec"]["suspend"] is True
        assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "training"


def test_no_sources_and_other_sources() -> None:
    bare = JobSettings(image="i:1", env_from=())
    assert container(job_manifest(bare, ASSIGNMENT, "s3://b"))["envFrom"] == []
    other = JobSettings(image="i:1", env_from=(EnvSource("secret", "keys"),))
    made = container(job_manifest(other, ASSIGNMENT, "s3://b"))
    assert made["envFrom"] == [{"secretRef": {"name": "keys"}}]


@given(SETTINGS, st.integers(1, 16))
def test_a_train_job_says_the_same_to_its_container(settings: JobSettings, nodes: int) -> None:
    job = container(job_manifest(settings, ASSIGNMENT, "s3://tagloom"))
    made = train_job_manifest(settings, ASSIGNMENT, "s3://tagloom")
    trainer = made["spec"]["trainer"]
    assert trainer["command"] == job["command"]
    assert trainer["image"] == job["image"]
    assert trainer["resourcesPerNode"] == job["resources"]
    told, told_job = environment(trainer["env"]), environment(job["env"])
    # Kubeflow's Trainer sets these, and refuses a TrainJob that does.
    reserved = {name for name in told_job if name.startswith("PET_")} - {"PET_SHUTDOWN_TIMEOUT"}
    assert told == {name: value for name, value in told_job.items() if name not in reserved}


@pytest.mark.parametrize("queue", ["", "training"])
def test_a_train_job_is_of_our_runtime(queue: str) -> None:
    settings = JobSettings(image="i:1", nodes=2, processes=4, gpus=4, queue=queue)
    made = train_job_manifest(settings, ASSIGNMENT, "s3://tagloom")
    assert made["metadata"]["name"] == "train-betta"
    assert made["spec"]["runtimeRef"]["name"] == "tagloom"
    trainer = made["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 4)
    (patch,) = made["spec"]["runtimePatches"]
    (node,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    labels = node["template"]["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] == "training", "network policies select by it"
