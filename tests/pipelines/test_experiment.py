"""The pipeline as Kubeflow gets it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import yaml


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("compiled") / "experiment.yaml"
    subprocess.run([sys.executable, "-m", "pipelines.experiment", str(path)], check=True)
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


def test_steps_and_loop(compiled: dict[str, Any]) -> None:
    tasks = compiled["root"]["dag"]["tasks"]
    steps = {"collect-photos", "filter-photos", "plan-runs", "for-loop-1", "write-report"}
    assert set(tasks) == steps
    loop = tasks["for-loop-1"]
    assert loop["dependentTasks"] == ["plan-runs"]
    body = compiled["components"]["comp-for-loop-1"]["dag"]["tasks"]
    assert set(body) == {"train-run", "evaluate-run"}
    # kfp.local gives the loop's item to every input that comes from another task: there is none.
    assert body["train-run"]["inputs"]["parameters"] == {
        "cell": {"componentInputParameter": "pipelinechannel--plan-runs-Output-loop-item"}
    }
    assert "for-loop-1" in tasks["write-report"]["dependentTasks"]


def test_artifacts_are_declared(compiled: dict[str, Any]) -> None:
    kinds = {
        (name, artifact["artifactType"]["schemaTitle"])
        for name, component in compiled["components"].items()
        for artifact in component.get("outputDefinitions", {}).get("artifacts", {}).values()
    }
    assert ("comp-train-run", "system.Model") in kinds
    assert ("comp-evaluate-run", "system.Metrics") in kinds
    assert ("comp-write-report", "system.HTML") in kinds


def test_steps_install_nothing_and_are_not_cached(compiled: dict[str, Any]) -> None:
    for executor in compiled["deploymentSpec"]["executors"].values():
        container = executor["container"]
        assert "python" in container["image"]
        assert "pip install" not in " ".join(container["command"])
    for name, task in compiled["root"]["dag"]["tasks"].items():
        if name != "for-loop-1":
            assert task["cachingOptions"] == {}, name
