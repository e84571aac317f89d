"""One step of the pipeline: connected, watched, idempotent, with one clear sentence on failure."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from google.longrunning import operations_pb2
from google.protobuf.message import Message

from pipelines.identity import request_id
from pipelines.steps.events import Failed, Finished, Progressed, Started, tell
from tagloom.client import Clients, connect
from tagloom.errors import FailedPrecondition, NotFound, TagloomError
from tagloom.v1 import operation_pb2

__all__ = ["Step", "step"]

TERMINATION_LOG = "/dev/termination-log"
"""a container's last words, which Kubernetes shows as the reason of its end"""

ATTEMPTS = 50
"""failed attempts at one resource that are remembered before somebody has to look"""

R = TypeVar("R", bound=Message)


class Step:
    """What a step works with."""

    def __init__(self, clients: Clients, name: str, label: str) -> None:
        self.clients = clients
        self.name = name
        self.label = label
        self.sentence = ""
        """what came out, set by the step"""
        self.reused = True
        """until an operation had to be waited for"""

    def make(
        self,
        method: str,
        resource: str,
        read: Callable[[], R],
        create: Callable[[str], operations_pb2.Operation],
        response_type: type[R],
    ) -> R:
        """The resource: read if it exists, else made by the operation that `create` starts.

        `create` gets a request id that follows from the resource's name, so a step that runs again
        while its operation still runs joins that operation. An attempt that ended without the
        resource (an error; or it was removed since) counts, and the next one gets the next id.
        """
        for attempt in range(ATTEMPTS):
            try:
                return read()
            except NotFound:
                pass
            operation = create(request_id(method, resource, attempt))
            if not operation.done:
                return self.wait(operation, response_type)
        raise FailedPrecondition(
            f"{resource} failed {ATTEMPTS} times with the same inputs; look at the errors with "
            "`tagloom operations list`, then start over with --fresh.",
            reason="TOO_MANY_ATTEMPTS",
            resource=resource,
        )

    def wait(self, operation: operations_pb2.Operation, response_type: type[R]) -> R:
        """Waits for an operation, telling its progress on the way."""
        self.reused = False

        def progress(metadata: operation_pb2.OperationMetadata) -> None:
            tell(
                Progressed(
                    step=self.name,
                    label=self.label,
                    operation=operation.name,
                    phase=metadata.phase,
                    done=metadata.done,
                    total=metadata.total,
                    eta_s=metadata.eta.ToMilliseconds() / 1000
                    if metadata.HasField("eta")
                    else None,
                    message=metadata.last_message,
                )
            )

        return self.clients.wait(operation, response_type, on_progress=progress)


@contextmanager
def step(name: str, label: str = "") -> Iterator[Step]:
    """Connects to TAGLOOM_TARGET for one step and tells how it goes.

    An error of Tagloom's ends the process with one sentence instead of a traceback: it is what
    stands in the pod's log, and in the terminal of `tagloom run`.
    """
    tell(Started(step=name, label=label))
    begin = time.monotonic()
    try:
        target = os.environ.get("TAGLOOM_TARGET", "")
        if not target:
            raise FailedPrecondition(
                "TAGLOOM_TARGET is not set; give the step the address of Tagloom's services.",
                reason="TARGET_MISSING",
            )
        with connect(target) as clients:
            current = Step(clients, name, label)
            yield current
    except TagloomError as error:
        tell(
            Failed(
                step=name,
                label=label,
                error=type(error).__name__,
                reason=error.reason,
                message=error.message,
                metadata=error.metadata,
            )
        )
        sentence = f"{error.message} [{error.reason}]"
        _last_words(sentence)
        raise SystemExit(sentence) from error
    tell(
        Finished(
            step=name,
            label=label,
            seconds=round(time.monotonic() - begin, 3),
            sentence=current.sentence,
            reused=current.reused,
        )
    )


def _last_words(sentence: str) -> None:
    """Leaves the sentence where the kubelet looks for it; nowhere outside of a container."""
    path = Path(os.environ.get("TAGLOOM_TERMINATION_LOG", TERMINATION_LOG))
    with contextlib.suppress(OSError):
        if path.is_file():
            path.write_text(sentence[:4000], encoding="utf-8")  # the kubelet reads 4 KiB
