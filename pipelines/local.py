"""Executes the pipeline's definition on this machine, by `kfp.local`; a program of its own.

    python -m pipelines.local ARGUMENTS.json FOLDER

`kfp.local` prints all it does, and what the steps print, to stdout: so it runs in a process whose
output `pipelines.run` sends to a log file. The steps inherit TAGLOOM_TARGET, TAGLOOM_STORE and
TAGLOOM_EVENTS.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from kfp import local

from pipelines.experiment import experiment_pipeline
from tagloom.lifeline import die_with_parent

__all__ = ["main"]


def main(arguments: Path, folder: Path) -> None:
    """Runs the pipeline with the arguments in a JSON file; artifacts go below `folder`.

    Raises RuntimeError when a step fails; what failed has been told by then (`steps.events`).
    """
    # End with the command that started this, however it ends.
    die_with_parent(by=signal.SIGTERM)
    local.init(
        # The steps' packages are the ones this program runs with: no environment of their own.
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(folder),
        raise_on_error=True,
    )
    experiment_pipeline(**json.loads(arguments.read_text("utf-8")))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
