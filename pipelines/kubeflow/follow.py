"""Follows a run: the states of its steps from Kubeflow, their progress and errors from their logs.

Kubeflow's API knows which pods a run has and how they stand, but carries no message of theirs. The
steps print what they do as lines of JSON (`pipelines.steps.events`), so the pods' logs are read
too, where the server lets us.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipelines.kubeflow.server import Server
from pipelines.steps.events import Closed, Event, Failed, Finished, in_log
from tagloom.errors import Unavailable

__all__ = ["STEPS", "Ended", "Follower", "Tally"]

STEPS = {
    "collect-photos": "collect",
    "score-photos": "score",
    "filter-photos": "filter",
    "plan-runs": "plan",
    "train-run": "train",
    "evaluate-run": "evaluate",
    "write-report": "report",
    "close-experiment": "close",
}
"""names of the pipeline's tasks, and what people call them"""
LOOK_S = 3.0
LOG_S = 10.0
"""how often the log of a running pod is read"""
STUCK_S = 45.0
"""a pod that has not started for so long needs somebody's attention"""
PATIENCE_S = 300.0
"""for a server that does not answer: the run goes on without us"""
_OVER = {"SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"}
_POD = re.compile(r"executor(?:\(\d+\))?")
"""nodes that are pods of steps; one with a number is an attempt"""


@dataclass
class Tally:
    """How a run stands."""

    state: str
    done: int = 0
    total: int = 0
    running: list[str] = field(default_factory=list)
    """`train`, or `train (2)` for two at once"""
    failed: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    """pods that do not start"""


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    state: str
    """SUCCEEDED, FAILED, CANCELED"""
    closed: Closed | None
    """what the exit handler said; none when its log could not be read"""
    failure: Failed | None
    """the error that ended it, where a log told one"""
    failed_steps: list[str]


class Follower:
    """One run, until it is over."""

    def __init__(self, server: Server, run_id: str, steps: int) -> None:
        """`steps`: how many the run will have."""
        self._server = server
        self._run_id = run_id
        self._steps = steps
        self._seen: dict[str, int] = {}
        """events read from a pod's log"""
        self._read_at: dict[str, float] = {}
        self._complete: set[str] = set()
        """pods that are over and whose log was read since"""
        self._pending: dict[str, float] = {}
        self._failures: dict[tuple[str, str], Failed] = {}
        self._closed: Closed | None = None

    def follow(self, on_event: Callable[[Event], None], on_tally: Callable[[Tally], None]) -> Ended:
        """Waits for the end; tells every event of the steps, and every look at the whole.

        Raises what reading the run raises; Unavailable when the server is gone for minutes.
        """
        silent_since: float | None = None
        while True:
            try:
                run = self._server.call("to read a run", self._server.client.get_run, self._run_id)
                silent_since = None
            except Unavailable:
                begin = silent_since = silent_since or time.monotonic()
                if time.monotonic() - begin > PATIENCE_S:
                    raise
                time.sleep(LOOK_S)
                continue
            details = list((run.run_details and run.run_details.task_details) or [])
            over = run.state in _OVER
            self._read_logs(details, on_event, last=over)
            tally = self._count(run.state, details)
            on_tally(tally)
            if over:
                failure = next(iter(self._failures.values()), None)
                return Ended(run.state, self._closed, failure, tally.failed)
            time.sleep(LOOK_S)

    def _count(self, state: str | None, details: list[Any]) -> Tally:
        tally = Tally(state or "PENDING", total=self._steps)
        running: dict[str, int] = {}
        for detail in details:
            name = detail.display_name or ""
            if name in STEPS:
                if detail.state in ("SUCCEEDED", "SKIPPED"):
                    tally.done += 1
                elif detail.state == "FAILED":
                    tally.failed.append(STEPS[name])
                else:
                    running[STEPS[name]] = running.get(STEPS[name], 0) + 1
            elif _POD.fullmatch(name) and detail.pod_name:
                if detail.state != "PENDING":
                    self._pending.pop(detail.pod_name, None)
                    continue
                since = self._pending.setdefault(detail.pod_name, time.monotonic())
                if time.monotonic() - since > STUCK_S:
                    tally.stuck.append(detail.pod_name)
        tally.running = [f"{n} ({c})" if c > 1 else n for n, c in running.items()]
        return tally

    def _read_logs(
        self, details: list[Any], on_event: Callable[[Event], None], *, last: bool
    ) -> None:
        for detail in details:
            pod = detail.pod_name or ""
            if not pod or not _POD.fullmatch(detail.display_name or "") or pod in self._complete:
                continue
            over = detail.state in _OVER
            due = time.monotonic() - self._read_at.get(pod, float("-inf")) >= LOG_S
            if detail.state == "PENDING" or not (over or due or last):
                continue
            self._read_at[pod] = time.monotonic()
            events = list(in_log(self._server.log(self._run_id, pod)))
            for event in events[self._seen.get(pod, 0) :]:
                self._note(event)
                on_event(event)
            self._seen[pod] = len(events)
            if over:
                self._complete.add(pod)

    def _note(self, event: Event) -> None:
        if isinstance(event, Failed):
            self._failures[event.step, event.label] = event
        elif isinstance(event, Finished):
            # A later attempt made good.
            self._failures.pop((event.step, event.label), None)
        elif isinstance(event, Closed):
            self._closed = event
