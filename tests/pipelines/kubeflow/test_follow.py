"""Runs that end badly, that are interrupted, stopped, joined, or do not start."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kubeflow_processes import ProcessLauncher
from kubeflow_server import KubeflowServer

from pipelines.kubeflow import follow
from pipelines.kubeflow.run import KubeflowRun
from pipelines.kubeflow.server import Address
from tagloom.artifacts import layout
from tagloom.artifacts.experiment import Experiment
from tagloom.errors import Unavailable
from tagloom.store import open_store

from .conftest import command, environment, tagloom
from .test_engine import until

NOBODY = {"TAGLOOM_PIPELINES_TARGET": "127.0.0.1:1", "TAGLOOM_PIPELINES_RETRIES": "1"}
"""the services are not there"""


@pytest.mark.parametrize("state", ["RUNNING", ""])
def test_the_error_of_a_step_comes_back_as_one_sentence(
    file: Path, kubeflow: Callable[..., KubeflowServer], tmp_path: Path, state: str
) -> None:
    server = kubeflow(state_of_loops=state)
    answer = tagloom("run", str(file), "--kubeflow", server.url, "--json", cwd=tmp_path, **NOBODY)
    assert answer.code == 1
    error = answer.document["error"]
    assert error["kind"] == "Unavailable"
    assert error["reason"] == "SERVER_UNREACHABLE"
    assert "127.0.0.1:1" in error["message"]
    run = server.only_run()
    assert run.state == "FAILED"
    assert run.executed == ["collect-photos", "collect-photos", "close-experiment"]
    assert run.pauses == [5.0]
    # What the kubelet would show of the pod.
    (closed,) = run.results["close-experiment"]
    assert closed.parameters["Output"] == "failed"
    page = closed.artifacts["page"]
    assert page["type"] == "system.HTML"
    assert "127.0.0.1:1" in Path(page["uri"]).read_text()
    store = open_store(str(tmp_path / "store"))
    document = Experiment.load(store, layout.experiment_document("cats"), "cats")
    assert document.state == "failed"
    assert "127.0.0.1:1" in document.error
    assert store.get(layout.experiment_spec("cats")).startswith(b"experiment: cats\n")
    # The secrets went to those that need them, and nowhere else.
    logs = [path.read_text() for path in (tmp_path / "cluster" / "pods").glob("*/log.txt")]
    assert len(logs) == 3
    assert not any("let-me-in" in log for log in logs)
    words = (tmp_path / "cluster" / "pods").glob("*/termination-log")
    assert sum("[SERVER_UNREACHABLE]" in path.read_text() for path in words) == 2


def test_without_the_right_to_read_logs_it_says_where_they_are(
    file: Path, kubeflow: Callable[..., KubeflowServer], tmp_path: Path
) -> None:
    server = kubeflow(logs=False)
    answer = tagloom("run", str(file), "--kubeflow", server.url, cwd=tmp_path, **NOBODY)
    assert answer.code == 1
    assert "The run failed in collect; the logs of its pods say why: " in answer.err
    assert f"{server.url}/#/runs/details/{server.only_run().run_id}" in answer.err
    assert answer.err.rstrip().endswith("[KUBEFLOW_RUN_FAILED]")


def test_an_interrupt_leaves_the_run_alone_and_the_same_command_joins_it(
    file: Path,
    kubeflow: Callable[..., KubeflowServer],
    launcher: ProcessLauncher,
    tmp_path: Path,
) -> None:
    server = kubeflow()
    del launcher.secrets["tagloom-token"]  # pods wait for it
    run = ["run", str(file), "--kubeflow", server.url]
    process = subprocess.Popen(
        command(*run),
        env=environment(HOME=str(tmp_path), **NOBODY),
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: bool(server.runs))
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Started: " in err
    assert re.search(r"The run goes on: http\S+/#/runs/details/", err)
    assert "--stop" in err
    assert server.only_run().state == "RUNNING"

    again = subprocess.Popen(
        command(*run),
        env=environment(HOME=str(tmp_path), **NOBODY),
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: server.requests.count("GET /apis/v2beta1/runs") == 4)
    time.sleep(1)
    stopped = tagloom(*run, "--stop", cwd=tmp_path, **NOBODY)
    assert stopped.code == 0, stopped.err
    assert f"Told to stop: {server.url}/#/runs/details/" in stopped.out
    _, err = again.communicate(timeout=60)
    assert "Joined the run that is active already: " in err
    assert again.returncode == 1
    assert err.rstrip().endswith("[KUBEFLOW_RUN_STOPPED]")
    assert server.only_run().state == "CANCELED"


def test_a_version_is_uploaded_once_and_a_salt_is_kept(
    file: Path, kubeflow: Callable[..., KubeflowServer], launcher: ProcessLauncher
) -> None:
    server = kubeflow(namespaces=("ann",))
    del launcher.secrets["tagloom-token"]
    address = Address(server.url, namespace="ann")
    first = KubeflowRun.submit(file, address)
    assert (first.uploaded, first.joined) == (True, False)
    again = KubeflowRun.submit(file, address)
    assert (again.uploaded, again.joined, again.run_id) == (False, True, first.run_id)
    fresh = KubeflowRun.submit(file, address, fresh=True)
    assert (fresh.uploaded, fresh.joined) == (False, False)
    salts = [execution.arguments["salt"] for _, execution in server.runs.values()]
    assert salts[0] == ""
    assert re.fullmatch("[0-9a-f]{8}", salts[1])
    kept = KubeflowRun.submit(file, address)
    assert (kept.joined, kept.run_id) == (True, fresh.run_id)
    file.write_text(file.read_text().replace("kimg: 2", "kimg: 3"))
    other = KubeflowRun.submit(file, address)
    assert other.run_id not in (first.run_id, fresh.run_id)
    assert list(server.runs.values())[-1][1].arguments["salt"] == salts[1]
    assert len(server.versions) == len(server.pipelines) == len(server.experiments) == 1
    (experiment,) = server.experiments.values()
    assert (experiment.display_name, experiment.namespace) == ("cats", "ann")


def test_a_changed_pipeline_is_another_version(
    file: Path,
    kubeflow: Callable[..., KubeflowServer],
    launcher: ProcessLauncher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = kubeflow()
    del launcher.secrets["tagloom-token"]
    first = KubeflowRun.submit(file, Address(server.url))
    monkeypatch.setenv("TAGLOOM_PIPELINES_IMAGE", "elsewhere/pipelines-python:9")
    other = KubeflowRun.submit(file, Address(server.url), fresh=True)
    assert other.uploaded
    assert other.version != first.version
    assert len(server.pipelines) == 1


def test_a_pod_that_does_not_start_is_named(
    file: Path,
    kubeflow: Callable[..., KubeflowServer],
    launcher: ProcessLauncher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = kubeflow()
    launcher.images = {"some/other:image"}
    run = KubeflowRun.submit(file, Address(server.url))
    monkeypatch.setattr(follow, "STUCK_S", 0.5)
    monkeypatch.setattr(follow, "LOOK_S", 0.1)
    tallies: list[follow.Tally] = []

    def look(tally: follow.Tally) -> None:
        tallies.append(tally)
        if tally.stuck:
            server.only_run().stop.set()

    ended = run.follow(lambda event: None, look)
    assert ended.state == "CANCELED"
    (pod,) = tallies[-2].stuck
    assert pod.startswith("tagloom-experiment-")
    assert tallies[0].total == 7
    assert tallies[-2].running == ["collect"]


def test_a_server_that_is_away_for_a_while_is_waited_for(
    file: Path,
    kubeflow: Callable[..., KubeflowServer],
    launcher: ProcessLauncher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = kubeflow()
    del launcher.secrets["tagloom-token"]
    run = KubeflowRun.submit(file, Address(server.url))
    monkeypatch.setattr(follow, "LOOK_S", 0.1)
    looks = 0

    def look(tally: follow.Tally) -> None:
        nonlocal looks
        looks += 1
        server.broken = True
        threading.Timer(0.5, lambda: setattr(server, "broken", False)).start()
        if looks == 2:
            server.only_run().stop.set()

    assert run.follow(lambda event: None, look).state == "CANCELED"
    assert looks >= 2

    monkeypatch.setattr(follow, "PATIENCE_S", 0.3)
    server.broken = True
    with pytest.raises(Unavailable, match="is not ready"):
        run.follow(lambda event: None, lambda tally: None)


def test_a_renewed_token_is_taken_from_its_file(
    file: Path,
    kubeflow: Callable[..., KubeflowServer],
    launcher: ProcessLauncher,
    tmp_path: Path,
) -> None:
    server = kubeflow(token="old")
    del launcher.secrets["tagloom-token"]
    token = tmp_path / "token"
    token.write_text("old\n")
    run = KubeflowRun.submit(file, Address(server.url, token_file=str(token)))
    server.token = "new"
    token.write_text("new\n")
    server.only_run().stop.set()
    ended = run.follow(lambda event: None, lambda tally: None)
    error = run.error(ended)
    assert error is not None
    assert error.reason == "KUBEFLOW_RUN_STOPPED"
