"""One experiment on this machine: recognise what is done, run the rest, tell how it goes.

The command line finds `ExperimentRun` through the entry point `run` of the group
`tagloom.pipelines`, because the package `tagloom` does not import `pipelines`.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.identity import folder_fingerprint, inputs_sha256
from pipelines.spec import Experiment, load_experiment
from pipelines.steps.events import VARIABLE, Event, Failed, Tail
from tagloom import errors
from tagloom.artifacts import experiment as artifacts
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.errors import DataLoss, FailedPrecondition, NotFound, TagloomError
from tagloom.store import Store, open_store

__all__ = ["ExperimentRun"]

_LOOK_S = 0.2
_STOP_S = 10.0
_CREDENTIALS = (
    "TAGLOOM_TOKEN",
    "TAGLOOM_TOKEN_FILE",
    "TAGLOOM_TLS_CA",
    "TAGLOOM_TLS_CLIENT_CERT",
    "TAGLOOM_TLS_CLIENT_KEY",
)


@dataclass(frozen=True)
class ExperimentRun:
    """An experiment that is about to run, or found finished."""

    spec: Experiment
    store: Store
    salt: str
    inputs: str
    finished: artifacts.Experiment | None
    """set when the very same experiment is complete already"""

    @classmethod
    def prepare(cls, path: Path, store_url: str, *, fresh: bool = False) -> ExperimentRun:
        """Checks the experiment file and looks for what an earlier run of it left.

        `fresh` starts over under new names; what earlier runs made stays.
        Raises InvalidArgument (SPEC_INVALID, SPEC_NOT_READABLE), and what opening the store raises.
        """
        spec = load_experiment(path)
        store = open_store(store_url)
        inputs: dict[str, Any] = {"experiment": spec.model_dump(mode="json")}
        if spec.collect.folder is not None:
            inputs["listing"] = folder_fingerprint(Path(spec.collect.folder))
        digest = inputs_sha256(inputs)
        earlier = _earlier(store, spec.experiment)
        if fresh:
            return cls(spec, store, secrets.token_hex(4), digest, None)
        complete = (
            earlier is not None
            and earlier.state == "succeeded"
            and earlier.inputs_sha256 == digest
            and all(store.exists(key) for key in _keys(earlier))
        )
        salt = earlier.salt if earlier else ""
        return cls(spec, store, salt, digest, earlier if complete else None)

    @property
    def report_key(self) -> str:
        """Where the report lies in the store."""
        return layout.experiment_report(self.spec.experiment)

    def arguments(self) -> dict[str, Any]:
        """The pipeline's arguments."""
        experiment = self.spec.model_dump(mode="json", exclude_defaults=True)
        parts = {part: experiment.get(part, {}) for part in ("collect", "filter", "train")}
        return {
            "name": self.spec.experiment,
            **parts,
            "evaluate": experiment.get("evaluate", {}),
            "experiment": experiment,
            "salt": self.salt,
            "inputs": self.inputs,
        }

    def execute(
        self, target: str, on_event: Callable[[Event], None], *, private: bool = False
    ) -> artifacts.Experiment:
        """Runs the pipeline against the services at `target`; returns what it made.

        `private`: the target is a stack of our own on loopback, which wants no credentials.

        `on_event` hears of every step from this thread. Steps that were done before are found, not
        repeated. Raises the TagloomError of the step that failed, or FailedPrecondition
        (PIPELINE_FAILED) with the log's place. An interrupt stops the pipeline and leaves all that
        is durable for the next run.
        """
        self._begin()
        folder = Path(tempfile.mkdtemp(prefix="tagloom-run-"))
        failed = self._run(_environment(target, self.store.url, private), folder, on_event)
        if failed:
            raise failed
        shutil.rmtree(folder, ignore_errors=True)
        key = layout.experiment_document(self.spec.experiment)
        return artifacts.Experiment.load(self.store, key, f"experiments/{self.spec.experiment}")

    def _begin(self) -> None:
        """Makes the salt durable, so that an interrupted fresh start continues as one."""
        earlier = _earlier(self.store, self.spec.experiment)
        document = artifacts.Experiment(
            id=self.spec.experiment,
            create_time=earlier.create_time if earlier else now(),
            update_time=now(),
            state="running",
            inputs_sha256=self.inputs,
            salt=self.salt,
            # What the last complete run made stays named until this one is complete.
            collection=earlier.collection if earlier else "",
            dataset=earlier.dataset if earlier else "",
            outcomes=earlier.outcomes if earlier else (),
        )
        self.store.put(layout.experiment_document(self.spec.experiment), document.to_bytes())

    def _run(
        self, environment: dict[str, str], folder: Path, on_event: Callable[[Event], None]
    ) -> TagloomError | None:
        arguments, events, log = (
            folder / name for name in ("arguments.json", "events.jsonl", "log.txt")
        )
        arguments.write_text(json.dumps(self.arguments()), encoding="utf-8")
        events.touch()
        command = [sys.executable, "-m", "pipelines.local", str(arguments), str(folder / "kfp")]
        with log.open("wb") as output:
            # A session of its own: Ctrl-C reaches this process first, which then stops them all.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**environment, VARIABLE: str(events)},
                start_new_session=True,
            )
        failed: Failed | None = None
        tail = Tail(events)
        try:
            ended = False
            while not ended:
                ended = _ended(process)  # then look once more: the last events may be unread
                for event in tail.new():
                    if isinstance(event, Failed) and failed is None:
                        failed = event
                    on_event(event)
        finally:
            _stop(process)
        if process.returncode == 0:
            return None
        if failed:
            return _as_error(failed)
        return FailedPrecondition(
            f"The pipeline ended with exit code {process.returncode}; its log says why: {log}.",
            reason="PIPELINE_FAILED",
            log=log,
        )


def _environment(target: str, store_url: str, private: bool) -> dict[str, str]:
    environment = {**os.environ, "TAGLOOM_TARGET": target, "TAGLOOM_STORE": store_url}
    if private:
        for name in _CREDENTIALS:
            environment.pop(name, None)
    return environment


def _earlier(store: Store, experiment: str) -> artifacts.Experiment | None:
    key = layout.experiment_document(experiment)
    try:
        return artifacts.Experiment.load(store, key, f"experiments/{experiment}")
    except (NotFound, DataLoss):
        # Damaged: the services know what exists, so running again costs little.
        return None


def _keys(document: artifacts.Experiment) -> list[str]:
    """What must be there for the experiment to count as complete."""
    keys = [layout.experiment_report(document.id)]
    for outcome in document.outcomes:
        keys.append(layout.evaluation(outcome.evaluation.removeprefix("evaluations/")))
        run, snapshot = layout.parse_name(outcome.best_snapshot, "runs/{}/snapshots/{}")
        keys.append(layout.snapshot_manifest(run, snapshot))
    return keys


def _as_error(failed: Failed) -> TagloomError:
    """The error that ended a step, as it was raised there."""
    kind = getattr(errors, failed.error, TagloomError)
    error: TagloomError = kind(failed.message, reason=failed.reason, **failed.metadata)
    return error


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process is over; waits a moment for it."""
    try:
        process.wait(_LOOK_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the pipeline's process and its steps, if they still run."""
    if process.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
            return
