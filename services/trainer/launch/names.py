"""What Kubernetes knows a run by: names and labels that it accepts, one for each run."""

from __future__ import annotations

import hashlib
import re

__all__ = ["LONGEST_NAME", "job_name", "run_label"]

_PREFIX = "train-"
LONGEST_NAME = 40
"""of a Job. JobSet adds `-node-0-NN-xxxxx` for the pods of a TrainJob, and a host name's part ends
at 63 characters."""
_LONGEST_LABEL = 63
_HASH = 10
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def job_name(run_id: str) -> str:
    """The name of the Job or TrainJob that trains the run: always the same one, so that there is
    only one at a time. An RFC 1035 label."""
    return _PREFIX + _fit(run_id, LONGEST_NAME - len(_PREFIX))


def run_label(run_id: str) -> str:
    """The run as the value of a label."""
    return _fit(run_id, _LONGEST_LABEL)


def _fit(run_id: str, length: int) -> str:
    """The id itself where it will do, else as much of it as there is room for and a hash."""
    if len(run_id) <= length and _LABEL.fullmatch(run_id):
        return run_id
    digest = hashlib.sha256(run_id.encode()).hexdigest()[:_HASH]
    return f"{run_id[: length - _HASH - 1].strip('-')}-{digest}"
