"""A training process on this machine, under `torchrun`."""

from __future__ import annotations

import collections
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from services.trainer.launch.interface import Assignment, Situation
from services.trainer.worker_events import ErrorEvent, LogEvent, parse_event
from tagloom.compute import COMPUTE_ENVIRONMENT
from tagloom.errors import InvalidArgument, TagloomError, Unavailable

__all__ = ["LocalProcess", "ProcessLauncher"]

_LOG = logging.getLogger(__name__)
_LOG_LINES = 30
_MOST_PROCESSES = 64
_ROOT = Path(__file__).resolve().parents[3]


class ProcessLauncher:
    """Starts workers that end with this server."""

    at_once = 1
    """a training takes every core that it gets"""
    starts = 3

    def __init__(self, processes: int = 1) -> None:
        """processes: ranks that train a run together on this machine."""
        self._processes = processes

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ProcessLauncher:
        """With TAGLOOM_TRAINING_PROCESSES ranks, 1 without it.

        Raises InvalidArgument (SETTING_INVALID).
        """
        text = environment.get("TAGLOOM_TRAINING_PROCESSES", "") or "1"
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST_PROCESSES):
            raise InvalidArgument(
                f"TAGLOOM_TRAINING_PROCESSES is {text!r}, but should be a whole number from 1 to "
                f"{_MOST_PROCESSES}.",
                reason="SETTING_INVALID",
                setting="TAGLOOM_TRAINING_PROCESSES",
            )
        return cls(int(text))

    def adopt(self, assignment: Assignment) -> None:
        """None: its processes died with the server that started them."""

    def start(self, assignment: Assignment) -> LocalProcess:
        """`python -m torch.distributed.run --standalone`, with tuned allocation."""
        command = [
            *(sys.executable, "-m", "services.trainer.launch.elastic", str(os.getpid())),
            *("--standalone", "--nnodes=1", f"--nproc-per-node={self._processes}"),
            "--max-restarts=0",
            # The dashes end torchrun's own options, which it would else abbreviate from ours.
            *("-m", "--", "services.trainer.worker"),
            *("--store", assignment.store_url, "--run", assignment.run_id),
            *("--lease-s", str(assignment.lease_s)),
        ]
        paths = [str(_ROOT), *(entry for entry in sys.path if entry)]
        environment = {
            **COMPUTE_ENVIRONMENT,
            **{key: value for key, value in os.environ.items() if not key.startswith("PET_")},
            "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
            "PYTHONUNBUFFERED": "1",
        }
        try:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C is the server's business; a group to kill
            )
        except OSError as error:
            raise Unavailable(
                f"The training process could not be started ({error.strerror}); free some memory "
                "or raise the limit on processes, then resume the run.",
                reason="TRAINING_NOT_STARTED",
            ) from error
        return LocalProcess(process, f"runs/{assignment.run_id}")


class LocalProcess:
    """torchrun and the worker below it."""

    survives = False

    def __init__(self, process: subprocess.Popen[str], name: str) -> None:
        """name: of the run, for the log."""
        self._process, self._name = process, name
        self._log: collections.deque[str] = collections.deque(maxlen=_LOG_LINES)
        self._error: ErrorEvent | None = None
        self._reader = threading.Thread(target=self._read, name="training-log", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Process id of torchrun."""
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                try:
                    event = parse_event(line)
                except json.JSONDecodeError:
                    event = None
                if event is None:
                    self._log.append(line.rstrip())
                elif isinstance(event, ErrorEvent):
                    self._error = event
                elif isinstance(event, LogEvent):
                    _LOG.log(event.level, "%s: %s", self._name, event.message)

    def poll(self) -> int | None:
        return self._process.poll()

    def situation(self) -> Situation | None:
        return None

    def ask_to_stop(self) -> None:
        # torchrun passes it on to its workers and waits for them.
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        self._process.wait()
        self._reader.join(timeout=5)

    def error(self) -> TagloomError | None:
        self._reader.join(timeout=5)  # its last line may still be on the way
        return None if self._error is None else self._error.to_error()

    def removed(self) -> bool:
        return False

    def obituary(self) -> str:
        return f"ended without a word, with exit code {self._process.poll()}"

    def last_words(self) -> str:
        self._reader.join(timeout=5)
        return "\n".join(self._log)
