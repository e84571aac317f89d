"""A training that runs as a Job or TrainJob of a cluster, as the server that follows it sees it."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from typing import Any

from services.trainer.launch.cluster import EVENT, POD, Cluster, Kind
from services.trainer.launch.interface import Situation
from services.trainer.launch.judge import condition, container_status, end_of, judge, newest
from services.trainer.launch.mirror import Mirror
from services.trainer.worker_events import ErrorEvent, parse_event
from tagloom.errors import ResourceExhausted, TagloomError, Unavailable

__all__ = ["GONE", "Workload", "WorkloadKind"]

_LOG = logging.getLogger(__name__)

GONE = -1
"""exit code of one that was removed while it trained"""
_ASK_AGAIN_S = 5.0

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class WorkloadKind:
    """Job or TrainJob: what differs between the two."""

    kind: Kind
    pod_label: str
    """holds the workload's name on each of its pods"""


class Workload:
    """One Job or TrainJob. It trains on when this server ends.

    `poll` makes it, once no former one of its name is in the way, and everything else is what the
    watches have brought. Not to be shared by threads.
    """

    survives = True

    def __init__(
        self,
        cluster: Cluster,
        kind: WorkloadKind,
        name: str,
        *,
        manifest: Object | None,
        uid: str = "",
        start_grace_s: float,
    ) -> None:
        """manifest: to be made; None to adopt the one with `uid`.

        start_grace_s: how long what will not mend by itself may take to do so all the same.
        """
        self._cluster, self._kind, self.name = cluster, kind.kind, name
        self._manifest, self._uid = manifest, uid
        self._start_grace_s = start_grace_s
        self._owners = Mirror(cluster, kind.kind, fieldSelector=f"metadata.name={name}")
        self._pods = Mirror(cluster, POD, labelSelector=f"{kind.pod_label}={name}")
        self._events = Mirror(cluster, EVENT, fieldSelector="type=Warning")
        self._mirrors = (self._owners, self._pods, self._events)
        for mirror in self._mirrors:
            mirror.start()
        self._lists_when_made = 0
        self._refusal: TagloomError | None = None
        self._seen = False
        self._last: Object | None = None
        self._hopeless: tuple[str, float] | None = None
        self._ending = False
        self._made_at = self._removed_at = -_ASK_AGAIN_S

    def poll(self) -> int | None:
        if not self._uid:
            if self._ending:
                return GONE
            if not self._make():
                return None
        owner = self._owners.get(self._uid)
        if owner is None:
            return GONE if self._is_gone() else None
        self._seen, self._last = True, owner
        if condition(owner, "Complete"):
            return 0
        if condition(owner, "Failed"):
            return self._exit_code()
        return None  # once it is told to go, too: until its pods are gone

    def _is_gone(self) -> bool:
        """Whether it is not there any more, rather than not there yet."""
        if self._seen or self._uid in self._owners.removed:
            return True
        # A list that was under way when it was made may lack it; the one after that does not.
        margin = 1 if self._manifest is not None else 0
        return self._owners.lists > self._lists_when_made + margin

    def _make(self) -> bool:
        """Make the workload, unless one of that name is still in the way; whether that is done."""
        for mirror in self._mirrors:
            if mirror.trouble is not None and mirror.trouble.reason != _PASSING:
                raise mirror.trouble
        if not all(mirror.lists for mirror in self._mirrors):
            return False
        if self._owners.objects():
            self._remove_former(self._owners.objects()[0])
            return False
        if time.monotonic() - self._made_at < _ASK_AGAIN_S:
            return False
        assert self._manifest is not None
        self._made_at, self._lists_when_made = time.monotonic(), self._owners.lists
        try:
            made = self._cluster.create(self._kind, self._manifest)
        except Unavailable as error:
            self._refusal = error
            return False
        self._refusal = None
        if made is None:  # somebody was faster; the watch will show it
            return False
        self._uid = made["metadata"]["uid"]
        _LOG.info("%s %s/%s is made", self._kind.name, self._cluster.namespace, self.name)
        return True

    def _remove_former(self, former: Object) -> None:
        """One that was made for another operation, or has ended."""
        if not former["metadata"].get("deletionTimestamp"):
            self._remove(former["metadata"]["uid"])

    def _remove(self, uid: str) -> None:
        if time.monotonic() - self._removed_at < _ASK_AGAIN_S:
            return
        self._removed_at = time.monotonic()
        try:
            self._cluster.delete(self._kind, self.name, uid)
        except Unavailable as error:
            self._removed_at = -_ASK_AGAIN_S
            _LOG.warning("%s %s cannot be removed yet: %s", self._kind.name, self.name, error)

    def situation(self) -> Situation | None:
        troubles = (self._refusal, *(mirror.trouble for mirror in self._mirrors))
        trouble = next((trouble for trouble in troubles if trouble is not None), None)
        if trouble is not None:
            # What trains already does so without us.
            made = bool(self._uid)
            hopeless = None if made else trouble
            return self._patiently(Situation("cluster", trouble.message, hopeless, alive=made))
        if not self._uid:
            if self._owners.objects():
                return Situation("wait", f"The former {self._kind.name} {self.name} is ending.")
            return Situation("submit", "Asking the cluster for the training's pods.")
        owner = self._owners.get(self._uid)
        return self._patiently(judge(owner, self._own_pods(), self._own_events()))

    def _patiently(self, situation: Situation | None) -> Situation | None:
        """What looks hopeless counts as such after the grace only: it may be a passing state."""
        if situation is None or situation.error is None:
            self._hopeless = None
            return situation
        reason = situation.error.reason
        if self._hopeless is None or self._hopeless[0] != reason:
            self._hopeless = (reason, time.monotonic())
        if time.monotonic() - self._hopeless[1] < self._start_grace_s:
            return Situation(situation.phase, situation.message)
        return situation

    def ask_to_stop(self) -> None:
        self.kill()

    def kill(self) -> None:
        # Its pods get SIGTERM, upon which they save, and their grace.
        self._ending = True
        if self._uid:
            self._remove(self._uid)

    def close(self) -> None:
        for mirror in self._mirrors:
            mirror.close()

    def error(self) -> TagloomError | None:
        if not self._failed():
            return None
        for pod in reversed(self._own_pods()):
            event = _told(pod)
            if event is not None and event.reason != "LEASE_LOST":
                return event.to_error()
            terminated = container_status(pod).get("state", {}).get("terminated") or {}
            if terminated.get("reason") == "OOMKilled":
                return ResourceExhausted(
                    f"The training pod {end_of(pod)}, again and again; raise TAGLOOM_JOB_MEMORY, "
                    "or train with a smaller micro_batch, then resume the run.",
                    reason="TRAINING_OUT_OF_MEMORY",
                )
        return None

    def removed(self) -> bool:
        return self._seen and not self._failed() and self._owners.get(self._uid) is None

    def obituary(self) -> str:
        if self._last is None or not self._failed():
            what = "was removed" if self._seen else "never came to be"
            return f"has ended: its {self._kind.name} {self.name} {what}"
        failed = condition(self._last, "Failed") or {}
        pod = newest(self._own_pods())
        pod_end = f", its last pod {end_of(pod)}" if pod else ""
        said = failed.get("message", "").rstrip(".") or failed.get("reason", "no reason given")
        return f"has ended: its {self._kind.name} {self.name} failed ({said}){pod_end}"

    def last_words(self) -> str:
        pod = newest(self._own_pods())
        if pod is None:
            return ""
        terminated = container_status(pod).get("state", {}).get("terminated") or {}
        return str(terminated.get("message", "")).strip()

    def _failed(self) -> bool:
        return self._last is not None and condition(self._last, "Failed") is not None

    def _exit_code(self) -> int:
        pod = newest(self._own_pods())
        terminated = (container_status(pod) if pod else {}).get("state", {}).get("terminated") or {}
        return int(terminated.get("exitCode", 1)) or 1

    def _own_pods(self) -> list[Object]:
        """The oldest first; none of a former workload of the same name."""
        if self._last is None:
            return []
        made = _time_of(self._last)
        return [pod for pod in self._pods.objects() if _time_of(pod) >= made]

    def _own_events(self) -> list[Object]:
        """Warnings about this workload, what it is made of, and its newest pod, the oldest first;
        none that what came after has settled."""
        if self._last is None:
            return []
        since = max(_time_of(item) for item in (self._last, *self._own_pods()))
        found = []
        for event in self._events.objects():
            about = event["involvedObject"].get("name", "")
            ours = about == self.name or about.startswith(f"{self.name}-")
            if ours and _time_of(event) >= since:
                found.append(event)
        return sorted(found, key=_time_of)


_PASSING = "CLUSTER_UNREACHABLE"
"""the reason of errors that a later call may not meet"""


def _time_of(item: Object) -> str:
    """When an object was made, or an event last seen; to the second, so that they compare."""
    time_of = (
        (item.get("series") or {}).get("lastObservedTime")
        or item.get("lastTimestamp")
        or item.get("eventTime")
        or item["metadata"]["creationTimestamp"]
    )
    return str(time_of)[:19]


def _told(pod: Object) -> ErrorEvent | None:
    """The error that the worker wrote down for Kubernetes when it ended."""
    terminated = container_status(pod).get("state", {}).get("terminated") or {}
    for line in str(terminated.get("message", "")).splitlines():
        try:
            event = parse_event(line)
        except json.JSONDecodeError:
            continue  # cut off, or just a line of the log
        if isinstance(event, ErrorEvent):
            return event
    return None
