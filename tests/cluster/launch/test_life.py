"""Trainings in Jobs of a real control plane: they go on whatever dies, and only once."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from typing import Any

from live_cluster import Cluster as Plane
from played_node import PlayedNode, wait_until

from services.trainer import records
from services.trainer.launch.names import job_name
from tagloom.artifacts.run import Run
from tagloom.errors import Cancelled
from tagloom.store import Store

PATIENCE_S = 400.0
IMAGES = 1200
"""a quiet machine trains 140 a second, and what happens to a run has to happen before its end"""
LONG = {"kimg": IMAGES / 1000, "snapshot_kimg": IMAGES / 2000}


def pods_of(plane: Plane, run_id: str) -> list[Any]:
    found = plane.get("pods", "-n", "tagloom", "-l", f"tagloom.dev/run={run_id}")["items"]
    assert isinstance(found, list)
    return found


def jobs(plane: Plane) -> dict[str, Any]:
    return {job["metadata"]["name"]: job for job in plane.get("jobs", "-n", "tagloom")["items"]}


def test_a_run_takes_the_free_gpus_and_the_next_one_waits_for_them(
    plane: Plane,
    played_node: PlayedNode,
    store: Store,
    make_run: Callable[..., Run],
    follow: Callable[..., Any],
) -> None:
    gpus = {"gpus": 8, "processes": 1}
    first = follow(make_run("first", **LONG), **gpus)
    wait_until("the first pod runs", lambda: played_node.processes, 60)
    (pod,) = pods_of(plane, "first")
    assert pod["spec"]["nodeName"] == played_node.name
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "8"

    second = follow(make_run("second"), **gpus)
    words = "Waits for a node with 8 nvidia.com/gpu free: 0/1 nodes are available: 1 Insufficient"
    wait_until("the second says why it waits", lambda: second.heard(words), 60)
    waiting = wait_until(
        "its document says so too",
        lambda: (
            words in records.read_run(store, "second").message and records.read_run(store, "second")
        ),
        20,
    )
    assert waiting.state == "queued"

    assert first.result.result(PATIENCE_S).state == "succeeded"
    assert second.result.result(PATIENCE_S).state == "succeeded"
    assert [name for name, _ in played_node.commands] == [
        pods_of(plane, "first")[0]["metadata"]["name"],
        pods_of(plane, "second")[0]["metadata"]["name"],
    ]
    made = jobs(plane)
    assert set(made) == {"train-first", "train-second"}
    for job in made.values():
        assert "ownerReferences" not in job["metadata"]
    owner = pods_of(plane, "first")[0]["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"]) == ("Job", "train-first")


def test_what_is_followed_again_is_trained_on(
    plane: Plane,
    played_node: PlayedNode,
    store: Store,
    make_run: Callable[..., Run],
    follow: Callable[..., Any],
    images_seen: Callable[[str], int],
) -> None:
    """The trainer goes away twice: once in good order, once without a word."""
    run = make_run("r", **LONG)
    first = follow(run)
    wait_until("it trains", lambda: images_seen("r"))
    uid = jobs(plane)["train-r"]["metadata"]["uid"]
    first.wish = "hand back"
    assert isinstance(first.result.exception(60), Cancelled)
    second = follow(run)
    wait_until("it is followed again", lambda: second.heard("G loss") or second.result.done())
    second.wish = "lost"
    assert second.result.exception(30) is not None
    third = follow(run)
    assert third.result.result(PATIENCE_S).state == "succeeded"
    assert jobs(plane)["train-r"]["metadata"]["uid"] == uid
    assert len(played_node.commands) == 1
    assert records.read_run(store, "r").attempts == 1
    assert images_seen("r") == IMAGES

    plane.kubectl("delete", "job", job_name("r"), "-n", "tagloom")
    assert follow(run).result.result(30).state == "succeeded"
    assert "train-r" not in jobs(plane), "a finished run was launched again"


def test_a_killed_pod_and_a_removed_job_cost_nothing_but_time(
    plane: Plane,
    played_node: PlayedNode,
    store: Store,
    make_run: Callable[..., Run],
    follow: Callable[..., Any],
    images_seen: Callable[[str], int],
) -> None:
    following = follow(make_run("r", **LONG))
    wait_until("it trains", lambda: images_seen("r"))
    played_node.kill(played_node.commands[-1][0])
    wait_until("another pod runs", lambda: len(played_node.commands) == 2)
    assert following.heard("ended with exit code 137; another takes its place")
    wait_until("that one trains", lambda: records.read_run(store, "r").attempts == 2)

    plane.kubectl("delete", "job", job_name("r"), "-n", "tagloom", "--wait=false")
    assert following.result.result(PATIENCE_S).state == "succeeded"
    assert following.heard("its Job train-r was removed; it is started again")
    run = records.read_run(store, "r")
    assert (run.state, run.attempts) == ("succeeded", 3)
    assert images_seen("r") == IMAGES
    ticks = records.read_ticks(store, "r")
    assert len({tick.kimg for tick in ticks}) == len(ticks), "something was trained twice"


def test_a_drained_node_is_no_failure(
    plane: Plane,
    played_node: PlayedNode,
    store: Store,
    make_run: Callable[..., Run],
    follow: Callable[..., Any],
    images_seen: Callable[[str], int],
) -> None:
    following = follow(make_run("r", **LONG), retries=0)
    wait_until("it trains", lambda: images_seen("r"))
    pod = played_node.commands[0][0]
    body = {"metadata": {"name": pod, "namespace": "tagloom"}}
    played_node.api.create_namespaced_pod_eviction(pod, "tagloom", body)
    assert following.result.result(PATIENCE_S).state == "succeeded"
    assert len(played_node.commands) == 2
    assert "failed" not in jobs(plane)["train-r"]["status"]
    assert images_seen("r") == IMAGES


def test_a_queue_admits_preempts_and_admits_again(
    plane: Plane,
    played_node: PlayedNode,
    store: Store,
    make_run: Callable[..., Run],
    follow: Callable[..., Any],
    images_seen: Callable[[str], int],
) -> None:
    """All that Kueue does to a Job is to suspend it and to take that back, as is done here."""

    def suspend(value: bool) -> None:
        patch = json.dumps({"spec": {"suspend": value}})
        plane.kubectl("patch", "job", job_name("r"), "-n", "tagloom", "--type=merge", "-p", patch)

    words = "Waits in the queue training until Kueue admits it"
    following = follow(make_run("r", **LONG), queue="training", retries=0)
    wait_until("it waits", lambda: following.heard(words), 60)
    assert jobs(plane)["train-r"]["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "training"
    assert not played_node.commands
    suspend(False)
    wait_until("it trains", lambda: images_seen("r"))
    suspend(True)
    wait_until("it waits again", lambda: following.said[-1].startswith(words), 60)
    reached = images_seen("r")
    assert reached < IMAGES
    suspend(False)
    assert following.result.result(PATIENCE_S).state == "succeeded"
    assert len(played_node.commands) == 2
    assert records.read_run(store, "r").attempts == 2
    assert images_seen("r") == IMAGES


def test_stopping_leaves_a_snapshot_and_cancelling_a_state(
    plane: Plane,
    played_node: PlayedNode,
    store: Store,
    make_run: Callable[..., Run],
    follow: Callable[..., Any],
    images_seen: Callable[[str], int],
) -> None:
    stopped = follow(make_run("stopped", kimg=50.0, snapshot_kimg=50.0))
    wait_until("it trains", lambda: images_seen("stopped") > 8)
    records.request_stop(store, "stopped")
    run = stopped.result.result(PATIENCE_S)
    assert run.state == "stopped"
    snapshots = [i.key for i in store.iterate("runs/stopped/snapshots/") if "manifest" in i.key]
    assert len(snapshots) == 2, "the start, and where it was stopped"

    cancelled = follow(make_run("cancelled", kimg=50.0))
    wait_until("it trains", lambda: images_seen("cancelled") > 8)
    cancelled.wish = "cancel"
    assert isinstance(cancelled.result.exception(PATIENCE_S), Cancelled)
    run = records.read_run(store, "cancelled")
    assert (run.state, run.message) == ("stopped", "Cancelled; can be resumed.")
    assert "train-cancelled" not in jobs(plane)
    progress = records.read_progress(store, "cancelled")
    assert progress is not None
    states = [i.key for i in store.iterate("runs/cancelled/state/") if "manifest" in i.key]
    assert any(f"{progress.images_seen:012d}." in key for key in states), "it was not saved"


def test_a_run_that_waits_is_stopped_without_having_begun(
    plane: Plane,
    store: Store,
    make_run: Callable[..., Run],
    follow: Callable[..., Any],
) -> None:
    following = follow(make_run("r"))  # there is no node
    wait_until("it waits", lambda: following.heard("Waits for a node"), 60)
    records.request_stop(store, "r")
    assert following.result.result(60).state == "stopped"
    assert "train-r" not in jobs(plane)
    assert records.read_run(store, "r").attempts == 0


def test_a_pod_that_is_told_to_end_hands_over(
    played_node: PlayedNode,
    store: Store,
    make_run: Callable[..., Run],
    follow: Callable[..., Any],
    images_seen: Callable[[str], int],
) -> None:
    """Exit code 75 without any condition, as when a machine shuts down."""
    following = follow(make_run("r", **LONG), retries=0)
    wait_until("it trains", lambda: images_seen("r"))
    played_node.kill(played_node.commands[0][0], signal.SIGTERM)
    assert following.result.result(PATIENCE_S).state == "succeeded"
    assert following.heard("was interrupted, after it had saved its state")
    assert images_seen("r") == IMAGES
