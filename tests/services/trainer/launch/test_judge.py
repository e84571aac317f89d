"""What a person reads about a Job that does not train; objects as a Kubernetes 1.33 shows them."""

from __future__ import annotations

from typing import Any

import pytest

from services.trainer.launch.judge import end_of, judge

IMAGE = "tagloom/training:0.1.0"


def owner(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "train-r",
            "namespace": "tagloom",
            "labels": spec.pop("labels", {}),
            "creationTimestamp": "2026-11-27T10:00:00Z",
        },
        "spec": spec,
        "status": {},
    }


def pod(
    *,
    phase: str = "Pending",
    node: str = "",
    waiting: tuple[str, str] | None = None,
    terminated: dict[str, Any] | None = None,
    conditions: tuple[dict[str, str], ...] = (),
    gpus: int = 0,
    deleted: bool = False,
    status: dict[str, Any] | None = None,
    made: str = "2026-11-27T10:00:01Z",
) -> dict[str, Any]:
    state: dict[str, Any] = {}
    if waiting:
        state = {"waiting": {"reason": waiting[0], "message": waiting[1]}}
    if terminated:
        state = {"terminated": terminated}
    limits = {"cpu": "2", "memory": "8Gi"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    return {
        "metadata": {
            "name": "train-r-abcde",
            "namespace": "tagloom",
            "creationTimestamp": made,
            **({"deletionTimestamp": "2026-11-27T10:05:00Z"} if deleted else {}),
        },
        "spec": {
            "containers": [{"name": "node", "image": IMAGE, "resources": {"limits": limits}}],
            **({"nodeName": node} if node else {}),
        },
        "status": {
            "phase": phase,
            "conditions": list(conditions),
            **({"containerStatuses": [{"name": "node", "state": state}]} if state else {}),
            **(status or {}),
        },
    }


def unschedulable(message: str) -> dict[str, str]:
    return {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
    }


def warning(reason: str, message: str, about: str = "train-r") -> dict[str, Any]:
    return {
        "reason": reason,
        "message": message,
        "involvedObject": {"name": about},
        "metadata": {"creationTimestamp": "2026-11-27T10:00:02Z"},
    }


def test_too_few_gpus_are_waited_for_and_said() -> None:
    message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are"
    found = judge(owner(), [pod(gpus=8, conditions=(unschedulable(message),))], [])
    assert found is not None
    assert found.error is None
    assert found.phase == "schedule"
    assert found.message.startswith("Waits for a node with 8 nvidia.com/gpu free: 0/3 nodes are")
    assert "tagloom stop" in found.message


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("ErrImagePull", 'failed to resolve reference "tagloom/training:0.1.0": not found'),
        ("ImagePullBackOff", 'Back-off pulling image "tagloom/training:0.1.0"'),
        ("InvalidImageName", "couldn't parse image name"),
        ("ErrImageNeverPull", "Container image is not present with pull policy of Never"),
    ],
)
def test_an_image_that_cannot_be_had(reason: str, message: str) -> None:
    found = judge(owner(), [pod(node="n", waiting=(reason, message))], [])
    assert found is not None
    assert found.error is not None
    assert found.error.reason == "TRAINING_IMAGE_UNAVAILABLE"
    assert f"The training image {IMAGE} cannot be had ({reason}: {message})" in found.message
    assert "TAGLOOM_JOB_IMAGE" in found.message


def test_a_secret_that_is_missing() -> None:
    waiting = ("CreateContainerConfigError", 'secret "tagloom-store" not found')
    found = judge(owner(), [pod(node="n", waiting=waiting)], [])
    assert found is not None
    assert found.error is not None
    assert found.error.reason == "TRAINING_CONFIGURATION_MISSING"
    assert 'secret "tagloom-store" not found; create it in the namespace tagloom' in found.message


def test_a_container_that_cannot_start() -> None:
    waiting = ("CreateContainerError", "exec: python: executable file not found in $PATH")
    found = judge(owner(), [pod(node="n", waiting=waiting)], [])
    assert found is not None
    assert found.error is not None
    assert found.error.reason == "TRAINING_CONTAINER_REFUSED"


def test_a_pod_that_runs_is_nothing_to_talk_about() -> None:
    assert judge(owner(), [pod(phase="Running", node="n")], []) is None


def test_a_pod_on_its_way() -> None:
    assert "waits for a node" in str(judge(owner(), [pod()], []))
    assert "The node n loads the training image" in str(judge(owner(), [pod(node="n")], []))
    assert "Asking the cluster" in str(judge(None, [], []))
    assert "makes the training's pods" in str(judge(owner(), [], []))


def test_a_volume_that_does_not_come() -> None:
    events = [warning("FailedMount", 'configmap "ca" not found.', "train-r-abcde")]
    found = judge(owner(), [pod(node="n")], events)
    assert found is not None
    assert found.message == 'The training pod waits for a volume: Configmap "ca" not found.'


def test_a_queue_is_named() -> None:
    labels = {"kueue.x-k8s.io/queue-name": "training"}
    found = judge(owner(suspend=True, labels=labels), [], [])
    assert found is not None
    assert found.error is None
    assert found.message.startswith("Waits in the queue training until Kueue admits it")
    found = judge(owner(suspend=True), [], [])
    assert found is not None
    assert "train-r is suspended" in found.message


def test_a_quota_is_waited_for_and_a_refusal_is_not() -> None:
    quota = 'pods "train-r-x" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/'
    found = judge(owner(), [], [warning("FailedCreate", quota)])
    assert found is not None
    assert found.error is None
    assert found.message.startswith("The namespace's quota has no room for the training pod")
    account = 'pods "train-r-x" is forbidden: error looking up service account tagloom/training'
    found = judge(owner(), [], [warning("FailedCreate", account)])
    assert found is not None
    assert found.error is not None
    assert found.error.reason == "TRAINING_POD_REFUSED"


def test_a_drained_node_takes_nothing_but_time() -> None:
    drained = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    leaving = pod(phase="Running", node="n", deleted=True, conditions=(drained,))
    found = judge(owner(), [leaving], [])
    assert found is not None
    assert found.error is None
    assert found.message.startswith("The training pod saves its state and ends")
    gone = pod(phase="Failed", node="n", conditions=(drained,))
    found = judge(owner(), [gone], [])
    assert found is not None
    assert "was taken off its node (Eviction API: evicting); another takes" in found.message


@pytest.mark.parametrize(
    ("terminated", "status", "said"),
    [
        ({"reason": "OOMKilled", "exitCode": 137}, {}, "ran out of memory (its limit is 8Gi)"),
        ({"reason": "Error", "exitCode": 137}, {}, "ended with exit code 137"),
        ({"reason": "Error", "exitCode": 75}, {}, "was interrupted, after it had saved its state"),
        (
            None,
            {"reason": "Evicted", "message": "The node was low on resource: memory."},
            "was evicted by its node (The node was low on resource: memory)",
        ),
    ],
)
def test_how_a_pod_ended(
    terminated: dict[str, Any] | None, status: dict[str, Any], said: str
) -> None:
    ended = pod(phase="Failed", node="n", terminated=terminated, status=status)
    assert end_of(ended) == said
    found = judge(owner(), [ended], [])
    assert found is not None
    assert found.message == f"The training pod {said}; another takes its place."


def test_the_newest_pod_counts() -> None:
    first = pod(phase="Failed", node="n", terminated={"reason": "Error", "exitCode": 137})
    second = pod(phase="Running", node="n", made="2026-11-27T10:02:00Z")
    assert judge(owner(), [first, second], []) is None
