"""The pipeline as Kubeflow gets it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.cluster import Cluster
from pipelines.experiment import compile_to
from tagloom.errors import InvalidArgument

STEPS = {
    "collect-photos",
    "filter-photos",
    "plan-runs",
    "train-run",
    "evaluate-run",
    "write-report",
    "close-experiment",
}


def compile_pipeline(path: Path, **settings: str) -> list[dict[str, Any]]:
    """The two documents of the YAML: the pipeline, and what Kubernetes is to do with it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TAGLOOM_")}
    subprocess.run(
        [sys.executable, "-m", "pipelines.experiment", str(path)],
        check=True,
        env={**environment, **settings},
    )
    return list(yaml.safe_load_all(path.read_text()))


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return compile_pipeline(tmp_path_factory.mktemp("compiled") / "experiment.yaml")


@pytest.fixture(scope="module")
def compiled(documents: list[dict[str, Any]]) -> dict[str, Any]:
    return documents[0]


@pytest.fixture(scope="module")
def pods(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """The Kubernetes settings of each step."""
    executors = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return {name.removeprefix("exec-"): settings for name, settings in executors.items()}


def tasks_of(compiled: dict[str, Any]) -> dict[str, Any]:
    """Every task of the pipeline that is a step."""
    dags = [compiled["root"], *compiled["components"].values()]
    tasks = {}
    for component in dags:
        tasks.update(component.get("dag", {}).get("tasks", {}))
    return {name: task for name, task in tasks.items() if name in STEPS}


def test_a_filter_of_several_replicas_shares_the_scoring(tmp_path: Path) -> None:
    documents = compile_pipeline(tmp_path / "p.yaml", TAGLOOM_PIPELINES_FILTER_SHARDS="3")
    tasks = documents[0]["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    (loop,) = [task for name, task in tasks.items() if task["taskInfo"]["name"] == "shards"]
    assert loop["parameterIterator"]["items"]["raw"] == '["0/3", "1/3", "2/3"]'
    assert loop["dependentTasks"] == ["collect-photos"]
    loops = [name for name, task in tasks.items() if task is loop]
    assert set(tasks["filter-photos"]["dependentTasks"]) == {"collect-photos", *loops}
    body = documents[0]["components"][f"comp-{loops[0]}"]["dag"]["tasks"]
    assert set(body) == {"score-photos"}
    assert "score-photos" in str(documents[1]["platforms"]["kubernetes"])


@pytest.mark.parametrize("shards", ["0", "257"])
def test_so_many_shards_cannot_be(shards: str) -> None:
    with pytest.raises(InvalidArgument, match="FILTER_SHARDS"):
        Cluster.from_environment({"TAGLOOM_PIPELINES_FILTER_SHARDS": shards})


def test_steps_and_loop(compiled: dict[str, Any]) -> None:
    tasks = compiled["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    steps = {"collect-photos", "filter-photos", "plan-runs", "for-loop-2", "write-report"}
    assert set(tasks) == steps
    loop = tasks["for-loop-2"]
    assert loop["dependentTasks"] == ["plan-runs"]
    body = compiled["components"]["comp-for-loop-2"]["dag"]["tasks"]
    assert set(body) == {"train-run", "evaluate-run"}
    # kfp.local gives the loop's item to every input that comes from another task: there is none.
    assert body["train-run"]["inputs"]["parameters"] == {
        "cell": {"componentInputParameter": "pipelinechannel--plan-runs-Output-loop-item"}
    }
    assert "for-loop-2" in tasks["write-report"]["dependentTasks"]


def test_artifacts_are_declared(compiled: dict[str, Any]) -> None:
    kinds = {
        (name, artifact["artifactType"]["schemaTitle"])
        for name, component in compiled["components"].items()
        for artifact in component.get("outputDefinitions", {}).get("artifacts", {}).values()
    }
    assert ("comp-train-run", "system.Model") in kinds
    assert ("comp-evaluate-run", "system.Metrics") in kinds
    assert ("comp-write-report", "system.HTML") in kinds


def test_however_the_steps_end_the_experiment_is_closed(compiled: dict[str, Any]) -> None:
    tasks = compiled["root"]["dag"]["tasks"]
    assert set(tasks) == {"exit-handler-1", "close-experiment"}
    closing = tasks["close-experiment"]
    assert closing["dependentTasks"] == ["exit-handler-1"]
    assert closing["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    status = closing["inputs"]["parameters"]["status"]
    assert status == {"taskFinalStatus": {"producerTask": "exit-handler-1"}}


def test_steps_install_nothing(compiled: dict[str, Any]) -> None:
    executors = compiled["deploymentSpec"]["executors"]
    assert {name.removeprefix("exec-") for name in executors} == STEPS
    for executor in executors.values():
        container = executor["container"]
        assert container["image"].startswith("tagloom/pipelines-python:")
        assert not container["image"].endswith(":latest")
        assert "pip install" not in " ".join(container["command"])


def test_only_what_follows_from_inputs_alone_is_cached(compiled: dict[str, Any]) -> None:
    cached = {n for n, task in tasks_of(compiled).items() if task["cachingOptions"]}
    assert cached == {"plan-runs"}


def test_no_step_holds_the_accelerator_that_the_training_waits_for(
    compiled: dict[str, Any],
) -> None:
    for executor in compiled["deploymentSpec"]["executors"].values():
        resources = executor["container"]["resources"]
        assert "accelerator" not in resources
        assert resources["resourceCpuRequest"] == "100m"
        assert resources["resourceMemoryLimit"] == "1Gi"


def test_lost_pods_are_replaced_also_after_days_of_training(compiled: dict[str, Any]) -> None:
    tasks = tasks_of(compiled)
    assert set(tasks) == STEPS
    for task in tasks.values():
        policy = task["retryPolicy"]
        assert policy["maxRetryCount"] == 2
        assert policy["backoffDuration"] == "5s"
        assert policy["backoffFactor"] == 2.0
        # Argo counts this window from the step's first start, not from its failure.
        assert int(policy["backoffMaxDuration"].removesuffix("s")) >= 30 * 24 * 3600


def test_pods_are_nobody_in_particular_and_say_whose_they_are(pods: dict[str, Any]) -> None:
    assert set(pods) == STEPS
    for settings in pods.values():
        user = {"runAsUser": "10001", "runAsGroup": "10001"}
        assert settings["securityContext"] == user
        labels = settings["podMetadata"]["labels"]
        assert labels["app.kubernetes.io/component"] == "pipeline"
        assert labels["app.kubernetes.io/part-of"] == "tagloom"


def test_secrets_are_named_and_given_to_those_that_need_them(
    documents: list[dict[str, Any]], pods: dict[str, Any]
) -> None:
    for settings in pods.values():
        (token,) = settings["secretAsVolume"]
        assert token["secretName"] == "tagloom-token"
    writing = {name for name, settings in pods.items() if "secretAsEnv" in settings}
    assert writing == {"collect-photos", "write-report", "close-experiment"}
    for name in writing:
        (secret,) = pods[name]["secretAsEnv"]
        assert secret["secretName"] == "tagloom-store"
        (place,) = pods[name]["configMapAsEnv"]
        assert place["configMapName"] == "tagloom-store"
    for executor in documents[0]["deploymentSpec"]["executors"].values():
        for variable in executor["container"]["env"]:
            assert variable["name"] in {"TAGLOOM_TARGET", "TAGLOOM_TOKEN_FILE"}


def test_settings_change_what_they_name(tmp_path: Path) -> None:
    pipeline, platform = compile_pipeline(
        tmp_path / "pipeline.yaml",
        TAGLOOM_PIPELINES_IMAGE="registry.example/pipelines-python:7",
        TAGLOOM_PIPELINES_TARGET="one.example:443",
        TAGLOOM_PIPELINES_TOKEN_SECRET="",
        TAGLOOM_PIPELINES_CA_CONFIG_MAP="our-ca",
        TAGLOOM_PIPELINES_STORE_SECRET="",
        TAGLOOM_PIPELINES_MEMORY_LIMIT="3Gi",
        TAGLOOM_PIPELINES_RETRIES="0",
        TAGLOOM_PIPELINES_USER="1234",
    )
    for executor in pipeline["deploymentSpec"]["executors"].values():
        container = executor["container"]
        assert container["image"] == "registry.example/pipelines-python:7"
        assert container["resources"]["resourceMemoryLimit"] == "3Gi"
        assert {variable["name"]: variable["value"] for variable in container["env"]} == {
            "TAGLOOM_TARGET": "one.example:443",
            "TAGLOOM_TLS_CA": "/etc/tagloom/ca/ca.crt",
        }
    for settings in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
        assert "secretAsVolume" not in settings
        assert "secretAsEnv" not in settings
        (ca,) = settings["configMapAsVolume"]
        assert (ca["configMapName"], ca["mountPath"]) == ("our-ca", "/etc/tagloom/ca")
        assert settings["securityContext"]["runAsUser"] == "1234"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("RETRIES", "many", "PIPELINE_SETTING_INVALID"),
        ("RETRIES", "-1", "PIPELINE_SETTING_INVALID"),
        ("USER", "0", "PIPELINE_SETTING_INVALID"),
        ("IMAGE", "", "PIPELINE_SETTING_INVALID"),
        ("TARGET", "dns:///{servise}.svc", "TARGET_INVALID"),
    ],
)
def test_wrong_settings_are_refused_by_name(name: str, value: str, reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Cluster.from_environment({f"TAGLOOM_PIPELINES_{name}": value})
    assert caught.value.reason == reason
    if reason != "TARGET_INVALID":
        assert caught.value.message.startswith(f"TAGLOOM_PIPELINES_{name} cannot be")


def test_resources_that_are_no_quantities_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="not Kubernetes quantities"):
        compile_to(str(tmp_path / "x.yaml"), Cluster(memory_limit="lots"))


def test_the_same_settings_give_the_same_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.yaml" for number in range(2)]
    for path in paths:
        compile_pipeline(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
