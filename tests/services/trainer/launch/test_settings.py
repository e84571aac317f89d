"""TAGLOOM_LAUNCHER and TAGLOOM_JOB_…: what is read, and what is refused with one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.trainer.launch.choose import choose_launcher
from services.trainer.launch.process import ProcessLauncher
from services.trainer.launch.settings import (
    EnvSource,
    JobSettings,
    LauncherKind,
    Toleration,
    amount,
)
from tagloom.errors import FailedPrecondition, InvalidArgument

IMAGE = {"TAGLOOM_JOB_IMAGE": "tagloom/training:0.1.0"}


def read(kind: LauncherKind = "job", **values: str) -> JobSettings:
    given = {f"TAGLOOM_JOB_{name}": value for name, value in values.items()}
    return JobSettings.from_environment({**IMAGE, **given}, kind)


def test_an_image_is_enough() -> None:
    assert read() == JobSettings(image="tagloom/training:0.1.0")


def test_gpus_bring_their_toleration_and_as_many_processes() -> None:
    settings = read(GPUS="8")
    assert settings.processes == 8
    assert settings.tolerations == (Toleration("nvidia.com/gpu"),)
    assert read(GPUS="8", TOLERATIONS="").tolerations == ()
    assert read(GPUS="2", GPU_RESOURCE="amd.com/gpu").tolerations == (Toleration("amd.com/gpu"),)
    assert read(GPUS="2", PROCESSES="1").processes == 1


def test_lists_are_read_with_commas() -> None:
    settings = read(
        NODE_SELECTOR="nvidia.com/gpu.product=A100, zone=a",
        TOLERATIONS="dedicated=gan:NoSchedule,nvidia.com/gpu,slow:NoExecute",
        ENV_FROM="configmap/store,secret/keys",
        ENV="HTTPS_PROXY=http://proxy:3128,TAGLOOM_STATE_SECONDS=30",
        IMAGE_PULL_SECRETS="one,two",
    )
    assert settings.node_selector == (("nvidia.com/gpu.product", "A100"), ("zone", "a"))
    assert settings.tolerations == (
        Toleration("dedicated", "gan", "NoSchedule"),
        Toleration("nvidia.com/gpu"),
        Toleration("slow", "", "NoExecute"),
    )
    assert settings.env_from == (EnvSource("configmap", "store"), EnvSource("secret", "keys"))
    assert settings.env == (
        ("HTTPS_PROXY", "http://proxy:3128"),
        ("TAGLOOM_STATE_SECONDS", "30"),
    )
    assert settings.image_pull_secrets == ("one", "two")


def test_the_limit_of_cores_is_what_is_asked_for_unless_told() -> None:
    assert read(CPU="500m").cpu_limit == "500m"
    assert read(CPU="500m", CPU_LIMIT="2").cpu_limit == "2"
    assert amount("500m") == 0.5
    assert amount("8Gi") == 8 * 1024**3
    assert amount("1.5") == 1.5


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("IMAGE", "", "the training image, for example"),
        ("IMAGE", "two words", "the training image"),
        ("IMAGE_PULL_POLICY", "Sometimes", "one of IfNotPresent, Always, Never"),
        ("IMAGE_PULL_SECRETS", "A_B", "names, with commas"),
        ("NAMESPACE", "Tag Loom", "a namespace"),
        ("GPUS", "1.5", "a whole number from 0 to 64"),
        ("GPUS", "-1", "a whole number from 0 to 64"),
        ("NODES", "2", "1 with TAGLOOM_LAUNCHER=job; trainjob takes several"),
        ("CPU", "two", "a quantity as Kubernetes writes it"),
        ("CPU", "0", "a quantity as Kubernetes writes it"),
        ("CPU_LIMIT", "100m", "at least TAGLOOM_JOB_CPU, 2"),
        ("MEMORY", "8 GB", "a quantity as Kubernetes writes it"),
        ("NODE_SELECTOR", "gpu", "labels as key=value"),
        ("NODE_SELECTOR", "gpu=a b", "labels as key=value"),
        ("TOLERATIONS", "gpu:Never", r"taints as key\[=value\]\[:effect\]"),
        ("RUNTIME_CLASS", "Nvidia!", "a RuntimeClass"),
        ("ENV_FROM", "tagloom-store", "configmap/NAME and secret/NAME"),
        ("ENV", "A", "NAME=VALUE"),
        ("ENV", "PET_NNODES=2", "without PET_…"),
        ("RETRIES", "many", "a whole number from 0 to 100"),
        ("START_GRACE_S", "0", "a whole number from 1 to 3600"),
    ],
)
def test_wrong_values_are_named(name: str, value: str, wanted: str) -> None:
    with pytest.raises(InvalidArgument, match=wanted) as caught:
        read(**{name: value})
    assert caught.value.reason == "SETTING_INVALID"
    assert caught.value.metadata["setting"] == f"TAGLOOM_JOB_{name}"
    assert f"TAGLOOM_JOB_{name} is {value!r}" in caught.value.message


def test_what_a_runtime_says_is_not_said_twice() -> None:
    assert read("trainjob", NODES="4").nodes == 4
    for name, value in (("RUNTIME_CLASS", "nvidia"), ("ENV_FROM", "secret/keys")):
        with pytest.raises(InvalidArgument, match="its runtime says that"):
            read("trainjob", **{name: value})


def test_without_a_cluster_one_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    environment = {**IMAGE, "TAGLOOM_LAUNCHER": "job", "KUBECONFIG": str(tmp_path / "none")}
    with pytest.raises(FailedPrecondition, match="name a kubeconfig with KUBECONFIG") as caught:
        choose_launcher(environment)
    assert caught.value.reason == "CLUSTER_NOT_CONFIGURED"


def test_the_launcher_is_a_process_unless_told() -> None:
    assert isinstance(choose_launcher({}), ProcessLauncher)
    assert isinstance(choose_launcher({"TAGLOOM_LAUNCHER": "process"}), ProcessLauncher)
    with pytest.raises(InvalidArgument, match="should be process, job or trainjob") as caught:
        choose_launcher({"TAGLOOM_LAUNCHER": "slurm"})
    assert caught.value.metadata == {"setting": "TAGLOOM_LAUNCHER"}
    with pytest.raises(InvalidArgument, match="TAGLOOM_JOB_IMAGE"):
        choose_launcher({"TAGLOOM_LAUNCHER": "job"})
