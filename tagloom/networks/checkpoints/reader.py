"""The trusting side: starts the confined process, and believes nothing that it says unchecked."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tagloom.errors import (
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    TagloomError,
)

__all__ = [
    "CheckpointContents",
    "CheckpointNetwork",
    "ConfinedReader",
    "check_confinement",
    "read_checkpoint",
]

Setting = bool | int | float | str | None

_MOST_BYTES = 2 << 30
_MOST_ANSWER = 8 << 20
_MEMORY = 1 << 30
"""address space beside the file; the process takes about 0.3 GiB of it before it reads"""

_ERRORS: dict[str, type[TagloomError]] = {
    "CHECKPOINT_REFUSED": InvalidArgument,
    "CHECKPOINT_DAMAGED": DataLoss,
    "CHECKPOINT_TOO_LARGE": ResourceExhausted,
    "CHECKPOINT_NOT_READ": ResourceExhausted,
    "CHECKPOINT_NOT_CONFINED": FailedPrecondition,
}
_ADVICE = {
    "CHECKPOINT_REFUSED": "nothing of it was run or stored",
    "CHECKPOINT_DAMAGED": "download it again",
    "CHECKPOINT_TOO_LARGE": "nothing of it was run or stored",
    "CHECKPOINT_NOT_READ": "make room on the disk and try again",
    "CHECKPOINT_NOT_CONFINED": "import it on Linux, x86-64 or ARM64, where a process can be "
    "confined, and copy the store or the exported file",
}


class CheckpointNetwork(BaseModel):
    """A network of a checkpoint, as its file describes it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    class_name: str = Field(max_length=200)
    arguments: dict[str, Any]
    """of its constructor"""
    attributes: dict[str, dict[str, Setting]]
    """of its modules, by the module's name; see `contents.ATTRIBUTES`"""


class CheckpointContents(BaseModel):
    """What a checkpoint holds beside the tensors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    networks: dict[str, CheckpointNetwork] = Field(min_length=1, max_length=3)
    """by role: G_ema, G, D"""


class _Refusal(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str
    sentence: str = Field(max_length=4000)


def read_checkpoint(path: Path, tensors: Path) -> CheckpointContents:
    """Reads an official `.pkl` in a confined process; its tensors go to the new file `tensors`.

    The tensors are a safetensors file with the names `<role>.<parameter or buffer>`. Neither their
    names nor the arguments are checked against a network here.
    Raises NotFound, PermissionDenied, InvalidArgument (CHECKPOINT_REFUSED: it asks for something
    that no checkpoint needs, which the message names), DataLoss (CHECKPOINT_DAMAGED),
    ResourceExhausted (CHECKPOINT_TOO_LARGE, CHECKPOINT_TIMEOUT, CHECKPOINT_NOT_READ),
    FailedPrecondition (CHECKPOINT_NOT_CONFINED: this system cannot confine a process).
    """
    try:
        with open(path, "rb") as source, open(tensors, "w+b") as target:
            size = os.fstat(source.fileno()).st_size
            if size > _MOST_BYTES:
                raise ResourceExhausted(
                    f"{path.name} has {size:,} bytes, more than any checkpoint of these networks "
                    f"({_MOST_BYTES:,} at most); choose another file.",
                    reason="CHECKPOINT_TOO_LARGE",
                )
            with ConfinedReader(source, target, memory=_MEMORY + 2 * size) as reader:
                return reader.read(path.name)
    except FileNotFoundError as error:
        raise NotFound(
            f"There is no file {path}; check the path.", reason="FILE_NOT_FOUND", path=path
        ) from error
    except (IsADirectoryError, PermissionError) as error:
        raise PermissionDenied(
            f"{path} cannot be read ({error.strerror}); name a file that can.",
            reason="PATH_NOT_READABLE",
            path=path,
        ) from error


def check_confinement() -> None:
    """Starts the confined process and ends it: whether checkpoints can be read on this machine.

    Raises FailedPrecondition (CHECKPOINT_NOT_CONFINED).
    """
    with tempfile.TemporaryFile() as nothing, ConfinedReader(nothing, nothing) as reader:
        reader.wait_until_confined("an official checkpoint")


class ConfinedReader:
    """The confined process, for any number of checkpoints that appear in the file `source`."""

    def __init__(
        self,
        source: IO[bytes],
        target: IO[bytes],
        *,
        memory: int = _MEMORY,
        cpu_seconds: int = 120,
        written: int = _MOST_BYTES,
        seconds: float = 300.0,
    ) -> None:
        """memory, written: bytes. cpu_seconds: for all readings. seconds: wall time of each."""
        self._seconds = seconds
        self._ready = False
        self._unread = b""
        files = (source.fileno(), target.fileno())
        limits = (*files, memory, cpu_seconds, written)
        root = Path(__file__).parents[3]
        # Isolated (-I): no module comes from the working directory, where the file may have been
        # unpacked beside its own numpy.py, and nothing from PYTHON* variables.
        code = (
            f"import sys; sys.path.insert(0, {str(root)!r}); "
            "from tagloom.networks.checkpoints.worker import main; main(sys.argv[1:])"
        )
        one_thread = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", code, *map(str, limits)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=one_thread,
            cwd="/",
            pass_fds=files,
            bufsize=0,
        )

    @property
    def pid(self) -> int:
        """Of the confined process."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        self._process.wait()

    def read(self, name: str) -> CheckpointContents:
        """The checkpoint that lies in `source` now; `name` is its name in errors.

        Raises what the function `read_checkpoint` raises.
        """
        self.wait_until_confined(name)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended; its lack of an answer says so
            self._process.stdin.write(b"\n")
        answer = self._answer(name)
        _raise_refusal(name, answer)
        try:
            return CheckpointContents.model_validate(answer)
        except ValidationError as error:
            raise _unexpected(name, "it answered something else") from error

    def wait_until_confined(self, name: str) -> None:
        """Until the process has given up what it does not need, which it does before it reads.

        Raises what the function `read_checkpoint` raises.
        """
        if self._ready:
            return
        answer = self._answer(name)
        _raise_refusal(name, answer)
        if answer != {"ready": True}:
            raise _unexpected(name, "it answered something else")
        self._ready = True

    def _answer(self, name: str) -> Any:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + self._seconds
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise _too_slow(name, f"{self._seconds:.0f} seconds")
            part = os.read(descriptor, 1 << 16)
            self._unread += part
            if not part or len(self._unread) > _MOST_ANSWER:
                raise self._ended(name)
        line, _, self._unread = self._unread.partition(b"\n")
        try:
            return json.loads(line)
        except ValueError as error:
            raise _unexpected(name, "it answered something else") from error

    def _ended(self, name: str) -> TagloomError:
        self._process.kill()
        code = self._process.wait()
        if code in (-24, -9):  # SIGXCPU, then SIGKILL
            return _too_slow(name, "its share of CPU time or memory")
        assert self._process.stderr is not None
        words = self._process.stderr.read(1 << 16).decode("utf-8", "replace").split()
        detail = f"exit code {code}, {' '.join(words)[-300:] or 'without a word'}"
        if self._ready:
            return _unexpected(name, detail)
        return FailedPrecondition(
            f"{name} is not imported: the confined process that reads it did not start ({detail}); "
            "see whether `tagloom doctor` finds something missing.",
            reason="CHECKPOINT_NOT_CONFINED",
        )


def _raise_refusal(name: str, answer: Any) -> None:
    """Raises the error that the process answered with, if it did."""
    if isinstance(answer, dict) and "error" in answer:
        try:
            refusal = _Refusal.model_validate(answer["error"])
        except ValidationError as error:
            raise _unexpected(name, "it answered something else") from error
        raise _error(name, refusal)


def _error(name: str, refusal: _Refusal) -> TagloomError:
    kind = _ERRORS.get(refusal.reason)
    if kind is None:
        return _unexpected(name, "it answered something else")
    sentence = "".join(c if c.isprintable() else "?" for c in refusal.sentence[:600])
    if refusal.reason == "CHECKPOINT_NOT_CONFINED":
        message = f"{name} is not read, since this system cannot confine the reader: {sentence}"
    else:
        message = f"{name} is not imported: {sentence}"
    return kind(f"{message}; {_ADVICE[refusal.reason]}.", reason=refusal.reason)


def _too_slow(name: str, what: str) -> TagloomError:
    return ResourceExhausted(
        f"{name} is not imported: reading it took more than {what}; nothing of it was stored.",
        reason="CHECKPOINT_TIMEOUT",
    )


def _unexpected(name: str, what: str) -> TagloomError:
    return DataLoss(
        f"{name} is not imported: the process that read it failed ({what}); the file is damaged "
        "or hostile, and nothing of it was stored.",
        reason="CHECKPOINT_DAMAGED",
    )
