"""The server of these tests does what a pipeline's YAML says: submitted by the SDK's own client."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kfp
import kfp_server_api
import pytest
from kfp import compiler
from kubeflow_engine import PipelineRun
from kubeflow_models import Refused, parse
from kubeflow_samples import sleeper, stubborn, sums
from kubeflow_server import KubeflowServer


def submit(server: KubeflowServer, pipeline: Any, folder: Path, **arguments: Any) -> PipelineRun:
    """By the client of the SDK; waits for the end."""
    package = folder / "package.yaml"
    compiler.Compiler().compile(pipeline, str(package))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = kfp.Client(host=server.url)
    name = pipeline.name
    known = client.get_pipeline_id(name)
    if known is None:
        made = client.pipelines.pipeline_service_create_pipeline(
            kfp_server_api.V2beta1Pipeline(name=name, display_name=name)
        )
        known = made.pipeline_id
    version = client.upload_pipeline_version(
        str(package), f"v{len(server.versions)}", pipeline_id=known
    )
    experiment = client.create_experiment("tests")
    run = client.run_pipeline(
        experiment.experiment_id,
        "a run",
        params=arguments,
        pipeline_id=known,
        version_id=version.pipeline_version_id,
    )
    done = client.wait_for_run_completion(run.run_id, timeout=120, sleep_duration=0.1)
    execution = server.runs[run.run_id][1]
    assert done.state == execution.state
    return execution


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK reads settings from there."""
    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))


def test_loops_are_collected_in_the_order_of_their_items(
    kubeflow: Callable[..., KubeflowServer], tmp_path: Path
) -> None:
    server = kubeflow()
    run = submit(server, sums, tmp_path, count=4)
    assert run.state == "SUCCEEDED"
    assert run.executed.count("double") == 4
    assert run.executed[0] == "numbers"
    assert run.executed[-1] == "total"
    assert run.results["total"][0].parameters == {"Output": 12}
    for result in run.results["double"]:
        table = result.artifacts["table"]
        assert table["type"] == "system.Metrics"
        assert table["metadata"] == {"doubled": result.parameters["Output"]}
        root, pipeline, of_run, task, _, name = table["uri"].rsplit("/", 5)
        assert (pipeline, of_run, task, name) == ("sums", run.run_id, "double", "table")
        assert root == server.launcher.root


def test_the_cache_is_keyed_by_content_and_serves_whom_it_may(
    kubeflow: Callable[..., KubeflowServer], tmp_path: Path
) -> None:
    server = kubeflow()
    first = submit(server, sums, tmp_path)
    again = submit(server, sums, tmp_path)
    other = submit(server, sums, tmp_path, count=2)
    assert first.cached == other.cached == []
    assert again.cached == ["numbers"]
    assert again.executed.count("double") == 3


def test_retries_pause_ever_longer_and_the_exit_handler_runs(
    kubeflow: Callable[..., KubeflowServer], tmp_path: Path
) -> None:
    run = submit(
        kubeflow(state_of_loops=""), stubborn, tmp_path, marker=str(tmp_path / "m"), attempts=2
    )
    assert run.state == "SUCCEEDED"
    assert run.executed == ["fail-until"] * 3 + ["total", "tell"]
    assert run.pauses == [4.0, 12.0]
    (told,) = run.results["tell"]
    assert told.parameters["Output"] == "COMPLETE of exit-handler-1: None"


def test_a_failure_skips_what_depends_on_it_but_not_the_exit_handler(
    kubeflow: Callable[..., KubeflowServer], tmp_path: Path
) -> None:
    run = submit(
        kubeflow(state_of_loops=""), stubborn, tmp_path, marker=str(tmp_path / "m"), attempts=9
    )
    assert run.state == "FAILED"
    assert run.executed == ["fail-until"] * 3 + ["tell"]
    assert run.results["tell"][0].parameters["Output"] == "FAILED of exit-handler-1: None"


def test_unknown_fields_routes_and_arguments_are_refused(
    kubeflow: Callable[..., KubeflowServer], tmp_path: Path
) -> None:
    with pytest.raises(Refused, match='unknown field "colour" in V2beta1Run'):
        parse("V2beta1Run", {"display_name": "x", "colour": "red"})
    with pytest.raises(Refused, match="must be of type str"):
        parse("V2beta1Run", {"display_name": 3})
    server = kubeflow()
    with pytest.raises(kfp_server_api.ApiException) as caught:
        submit(server, sums, tmp_path, counter=4)
    assert caught.value.status == 400
    with pytest.raises(kfp_server_api.ApiException) as caught:
        submit(server, sums, tmp_path, count="four")
    assert "type mismatch" in caught.value.body
    api = kfp_server_api.ApiClient(kfp_server_api.Configuration(host=server.url))
    with pytest.raises(kfp_server_api.ApiException) as caught:
        kfp_server_api.RecurringRunServiceApi(api).recurring_run_service_list_recurring_runs()
    assert caught.value.status == 404


def test_a_package_with_unknown_fields_is_refused(
    kubeflow: Callable[..., KubeflowServer], tmp_path: Path
) -> None:
    server = kubeflow()
    submit(server, sums, tmp_path, count=0)
    text = (tmp_path / "package.yaml").read_text().replace("cachingOptions:", "cashingOptions:")
    (tmp_path / "other.yaml").write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = kfp.Client(host=server.url)
    with pytest.raises(kfp_server_api.ApiException) as caught:
        client.upload_pipeline_version(str(tmp_path / "other.yaml"), "v9", pipeline_name="sums")
    assert "cashingOptions" in caught.value.body


def test_stopping_kills_what_runs(kubeflow: Callable[..., KubeflowServer], tmp_path: Path) -> None:
    server = kubeflow()

    package = tmp_path / "sleeper.yaml"
    compiler.Compiler().compile(sleeper, str(package))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = kfp.Client(host=server.url)
    made = client.pipelines.pipeline_service_create_pipeline(
        kfp_server_api.V2beta1Pipeline(name="sleeper", display_name="sleeper")
    )
    version = client.upload_pipeline_version(str(package), "v1", pipeline_id=made.pipeline_id)
    experiment = client.create_experiment("tests")
    run = client.run_pipeline(
        experiment.experiment_id,
        "a run",
        pipeline_id=made.pipeline_id,
        version_id=version.pipeline_version_id,
    )
    execution = server.runs[run.run_id][1]
    until(lambda: any(node.state == "RUNNING" and node.pod_name for node in execution.nodes))
    client.terminate_run(run.run_id)
    until(lambda: execution.state == "CANCELED")


def until(true: Callable[[], bool]) -> None:
    """Waits for something, half a minute at most."""
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come")
