"""What the state of a Job and its pods means: why nothing trains, and whether waiting will help.

Pure functions of the objects as the API server shows them, so that every case can be tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.trainer.launch.interface import Situation
from services.trainer.launch.manifests import QUEUE_LABEL
from services.trainer.launch.pod import CONTAINER
from tagloom.errors import FailedPrecondition

__all__ = ["condition", "container_status", "end_of", "judge", "newest"]

Object = Mapping[str, Any]

_IMAGE = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
}
_CONFIGURATION = {"CreateContainerConfigError"}
_CONTAINER = {"CreateContainerError", "RunContainerError", "StartError", "ContainerCannotRun"}
_MOUNTS = {"FailedMount", "FailedAttachVolume"}


def judge(
    owner: Object | None, pods: Sequence[Object], events: Sequence[Object]
) -> Situation | None:
    """Why the Job (or TrainJob) does not train; None while it does.

    `events` are warnings about it and its pods, the oldest first.
    """
    if owner is None:
        return Situation("submit", "Asking the cluster for the training's pods.")
    pod = newest([pod for pod in pods if not _has_ended(pod)])
    if pod is not None:
        return _of_pod(owner, pod, events)
    if owner["spec"].get("suspend"):
        return _suspended(owner)
    refused = _last(events, {"FailedCreate"})
    if refused:
        return _refused_pod(refused)
    ended = newest(pods)
    if ended is not None:
        return Situation("restart", f"The training pod {end_of(ended)}; another takes its place.")
    return Situation("submit", "The cluster makes the training's pods.")


def newest(pods: Sequence[Object]) -> Object | None:
    """The pod that was made last."""
    return max(pods, key=lambda pod: pod["metadata"]["creationTimestamp"], default=None)


def condition(item: Object, kind: str) -> Object | None:
    """The condition of that type if it is true."""
    for found in item.get("status", {}).get("conditions") or ():
        if found["type"] == kind and found["status"] == "True":
            return dict(found)
    return None


def container_status(pod: Object) -> Object:
    """Of the training container; empty before the kubelet has said anything."""
    for status in pod.get("status", {}).get("containerStatuses") or ():
        if status["name"] == CONTAINER:
            return dict(status)
    return {}


def _has_ended(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _of_pod(owner: Object, pod: Object, events: Sequence[Object]) -> Situation | None:
    name = pod["metadata"]["name"]
    if pod["metadata"].get("deletionTimestamp"):
        disruption = condition(pod, "DisruptionTarget")
        why = _sentence(disruption.get("message", "")) if disruption else "It was told to end."
        return Situation(
            "save",
            f"The training pod saves its state and ends, to go on in another. {why}",
            alive=True,
        )
    waiting = container_status(pod).get("state", {}).get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _IMAGE:
        return _no_image(pod, reason, message)
    if reason in _CONFIGURATION:
        return _hopeless(
            "configuration",
            f"The training pod cannot start: {_part(message)}; create it in the namespace "
            f"{pod['metadata'].get('namespace', '')}, or correct TAGLOOM_JOB_ENV_FROM, then resume "
            "the run.",
            "TRAINING_CONFIGURATION_MISSING",
        )
    if reason in _CONTAINER:
        return _hopeless(
            "container",
            f"The node cannot start the training container ({reason}: {_part(message)}); check "
            "that TAGLOOM_JOB_IMAGE is Tagloom's training image, then resume the run.",
            "TRAINING_CONTAINER_REFUSED",
        )
    if pod.get("status", {}).get("phase") == "Running":
        return None
    for found in pod.get("status", {}).get("conditions") or ():
        if found["type"] == "PodScheduled" and found["status"] == "False":
            return _unscheduled(owner, pod, found)
    unmounted = _last(events, _MOUNTS, name)
    if unmounted:
        return Situation(
            "mount", f"The training pod waits for a volume: {_sentence(unmounted['message'])}"
        )
    node = pod.get("spec", {}).get("nodeName")
    if node:
        return Situation("load", f"The node {node} loads the training image and starts the pod.")
    return Situation("schedule", "The training pod waits for a node.")


def _no_image(pod: Object, reason: str, message: str) -> Situation:
    image = next(c["image"] for c in pod["spec"]["containers"] if c["name"] == CONTAINER)
    return _hopeless(
        "image",
        f"The training image {image} cannot be had ({reason}: {_part(message)}); correct "
        "TAGLOOM_JOB_IMAGE, or give the nodes access to its registry "
        "(TAGLOOM_JOB_IMAGE_PULL_SECRETS), then resume the run.",
        "TRAINING_IMAGE_UNAVAILABLE",
    )


def _unscheduled(owner: Object, pod: Object, found: Object) -> Situation:
    if found.get("reason") == "SchedulingGated":
        return Situation("queue", "The training pod is held back by a scheduling gate.")
    wanted = _gpus(pod)
    have = f" with {wanted} free" if wanted else " with room for it"
    return Situation(
        "schedule",
        f"Waits for a node{have}: {_part(found.get('message', 'not yet tried'))}. It starts by "
        "itself once there is one; tagloom stop ends the wait.",
    )


def _gpus(pod: Object) -> str:
    for container in pod.get("spec", {}).get("containers") or ():
        limits = container.get("resources", {}).get("limits") or {}
        for name, count in limits.items():
            if "/" in name:  # extended resources, and nothing else, are written so
                return f"{count} {name}"
    return ""


def _suspended(owner: Object) -> Situation:
    queue = (owner["metadata"].get("labels") or {}).get(QUEUE_LABEL)
    if queue:
        return Situation(
            "queue",
            f"Waits in the queue {queue} until Kueue admits it; kubectl describe workload -n "
            f"{owner['metadata'].get('namespace', '')} tells what it lacks.",
        )
    return Situation(
        "queue",
        f"The Job {owner['metadata']['name']} is suspended; whoever did that must resume it "
        "(spec.suspend).",
    )


def _refused_pod(event: Object) -> Situation:
    message = _part(event["message"])
    if "exceeded quota" in message:
        return Situation(
            "quota",
            f"The namespace's quota has no room for the training pod: {message}. It starts by "
            "itself once there is; raise the quota, or remove what uses it.",
        )
    return _hopeless(
        "refused",
        f"The cluster does not allow the training pod: {message}; apply k8s/base to the namespace, "
        "or correct the TAGLOOM_JOB_… setting that it names, then resume the run.",
        "TRAINING_POD_REFUSED",
    )


def end_of(pod: Object) -> str:
    """How the pod ended, as the end of a sentence that begins with it."""
    status = pod.get("status", {})
    if status.get("reason") == "Evicted":
        return f"was evicted by its node ({_part(status.get('message', 'no reason given'))})"
    disruption = condition(pod, "DisruptionTarget")
    if disruption:
        said = _part(disruption.get("message", "")) or disruption.get("reason", "no reason given")
        return f"was taken off its node ({said})"
    ended = container_status(pod).get("state", {}).get("terminated") or {}
    if ended.get("reason") == "OOMKilled":
        return f"ran out of memory (its limit is {_memory(pod)})"
    if ended.get("exitCode") == 75:
        return "was interrupted, after it had saved its state"
    if "exitCode" in ended:
        return f"ended with exit code {ended['exitCode']}"
    return "ended"


def _memory(pod: Object) -> str:
    for container in pod["spec"]["containers"]:
        limits = container.get("resources", {}).get("limits") or {}
        if container["name"] == CONTAINER and "memory" in limits:
            return str(limits["memory"])
    return "the node's"


def _hopeless(phase: str, message: str, reason: str) -> Situation:
    return Situation(phase, message, FailedPrecondition(message, reason=reason))


def _last(events: Sequence[Object], reasons: set[str], name: str = "") -> Object | None:
    """The newest event of these reasons, about the object of that name if one is given."""
    for event in reversed(events):
        about = event["involvedObject"].get("name")
        if event.get("reason") in reasons and name in ("", about):
            return event
    return None


def _part(message: str) -> str:
    """A message of Kubernetes as a part of one of our sentences."""
    return " ".join(message.split()).rstrip(".")[:600] or "no reason given"


def _sentence(message: str) -> str:
    part = _part(message)
    return f"{part[:1].upper()}{part[1:]}."
