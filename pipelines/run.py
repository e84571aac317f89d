"""One experiment on this machine: recognise what is done, run the rest, tell how it goes.

The command line finds `ExperimentRun` through the entry point `run` of the group
`tagloom.pipelines`, because the package `tagloom` does not import `pipelines`.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pipelines.identity import folder_fingerprint, inputs_sha256
from pipelines.spec import Experiment, load_experiment
from pipelines.steps.events import VARIABLE, Event, Failed, Tail, as_error
from pipelines.steps.ledger import OPTIONS, Ledger, earlier
from tagloom.artifacts import experiment as artifacts
from tagloom.artifacts import layout
from tagloom.errors import FailedPrecondition, TagloomError
from tagloom.files import not_written
from tagloom.store import Store, open_store

if TYPE_CHECKING:
    from pipelines.kubeflow.run import KubeflowRun

__all__ = ["ExperimentRun", "experiment_inputs", "pipeline_arguments"]

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
        digest = experiment_inputs(spec)
        before = earlier(store, spec.experiment)
        if fresh:
            return cls(spec, store, secrets.token_hex(4), digest, None)
        complete = (
            before is not None
            and before.state == "succeeded"
            and before.inputs_sha256 == digest
            and all(store.exists(key) for key in _keys(before))
        )
        salt = before.salt if before else ""
        return cls(spec, store, salt, digest, before if complete else None)

    @staticmethod
    def on_kubeflow() -> type[KubeflowRun]:
        """The same experiment on a cluster; its imports are of no concern to a laptop."""
        from pipelines.kubeflow.run import KubeflowRun

        return KubeflowRun

    @property
    def report_key(self) -> str:
        """Where the report lies in the store."""
        return layout.experiment_report(self.spec.experiment)

    def arguments(self) -> dict[str, Any]:
        """The pipeline's arguments."""
        return pipeline_arguments(self.spec, self.salt, self.inputs)

    def execute(
        self, target: str, on_event: Callable[[Event], None], *, private: bool = False
    ) -> artifacts.Experiment:
        """Runs the pipeline against the services at `target`; returns what it made.

        `private`: the target is a stack of our own on loopback, which wants no credentials.

        `on_event` hears of every step from this thread. Steps that were done before are found, not
        repeated. Raises the TagloomError of the step that failed, FailedPrecondition
        (PIPELINE_FAILED) with the log's place, or ResourceExhausted (DISK_FULL). An interrupt stops
        the pipeline and leaves all that is durable for the next run.
        """
        ledger = Ledger(self.store, self.spec, self.inputs, self.salt)
        # Makes the salt durable, so that an interrupted fresh start continues as one.
        ledger.begin()
        try:
            self._in_a_folder(_environment(target, self.store.url, private), on_event)
        except TagloomError as error:
            ledger.abandon(f"{error.message} [{error.reason}]")
            raise
        except KeyboardInterrupt:
            ledger.abandon("Interrupted; the same command continues.")
            raise
        key = layout.experiment_document(self.spec.experiment)
        return artifacts.Experiment.load(self.store, key, f"experiments/{self.spec.experiment}")

    def _in_a_folder(self, environment: dict[str, str], on_event: Callable[[Event], None]) -> None:
        """Runs the pipeline in a folder of its own, which stays only where an error names it."""
        with _writing(Path(os.environ.get("TMPDIR", "/tmp"))):
            folder = Path(tempfile.mkdtemp(prefix="tagloom-run-"))
        keep = False
        try:
            self._run(environment, folder, on_event)
        except TagloomError as error:
            keep = "log" in error.metadata
            raise
        finally:
            if not keep:
                shutil.rmtree(folder, ignore_errors=True)

    def _run(
        self, environment: dict[str, str], folder: Path, on_event: Callable[[Event], None]
    ) -> None:
        arguments, events, log, temporary = (
            folder / name for name in ("arguments.json", "events.jsonl", "log.txt", "tmp")
        )
        with _writing(folder):
            arguments.write_text(json.dumps(self.arguments()), encoding="utf-8")
            events.touch()
            log.touch()
            temporary.mkdir()
        command = [sys.executable, "-m", "pipelines.local", str(arguments), str(folder / "kfp")]
        with log.open("wb") as output:
            # A session of its own: Ctrl-C reaches this process first, which then stops them all.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # KFP's steps never remove their temporary files: they go with the folder.
                env={**environment, VARIABLE: str(events), "TMPDIR": str(temporary)},
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
            return
        if failed:
            raise as_error(failed)
        with _writing(folder):  # where the disk is full, the log does not say so
            _probe(folder)
        raise FailedPrecondition(
            f"The pipeline ended with exit code {process.returncode}; its log says why: {log}.",
            reason="PIPELINE_FAILED",
            log=log,
        )


def experiment_inputs(spec: Experiment, *, here: bool = True) -> str:
    """SHA-256 of all that an experiment starts from: its file's meaning, a folder's listing.

    here: a folder of photos is one of this machine.
    """
    inputs: dict[str, Any] = {"experiment": spec.model_dump(mode="json")}
    if here and spec.collect.folder is not None:
        inputs["listing"] = folder_fingerprint(Path(spec.collect.folder))
    return inputs_sha256(inputs)


def pipeline_arguments(spec: Experiment, salt: str, inputs: str) -> dict[str, Any]:
    """The arguments of `pipelines.experiment`, whoever runs it."""
    experiment = spec.model_dump(mode="json", exclude_defaults=True)
    parts = ("filter", "train", "evaluate")
    return {
        "name": spec.experiment,
        **{part: experiment.get(part, {}) for part in parts},
        "experiment": experiment,
        "salt": salt,
        "inputs": inputs,
    }


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise not_written(path, error) from error


def _probe(folder: Path) -> None:
    """Raises OSError where no small file can be written."""
    probe = folder / "probe"
    with probe.open("wb") as file:
        file.write(bytes(1 << 16))
        file.flush()
        os.fsync(file.fileno())
    probe.unlink()


def _environment(target: str, store_url: str, private: bool) -> dict[str, str]:
    environment = {**os.environ, "TAGLOOM_TARGET": target, "TAGLOOM_STORE": store_url}
    where = f"--store {shlex.quote(_path(store_url))}" if private else f"--target {target}"
    environment[OPTIONS] = where
    if private:
        for name in _CREDENTIALS:
            environment.pop(name, None)
    return environment


def _path(store_url: str) -> str:
    """A store as a person writes it, wherever they stand."""
    split = urlsplit(store_url)
    return unquote(split.path) if split.scheme == "file" else store_url


def _keys(document: artifacts.Experiment) -> list[str]:
    """What must be there for the experiment to count as complete."""
    keys = [layout.experiment_report(document.id)]
    for outcome in document.outcomes:
        keys.append(layout.evaluation(outcome.evaluation.removeprefix("evaluations/")))
        run, snapshot = layout.parse_name(outcome.best_snapshot, "runs/{}/snapshots/{}")
        keys.append(layout.snapshot_manifest(run, snapshot))
    return keys


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
