"""The first experiment of docs/install.md, by its very commands, where Tagloom is installed."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from install_guide import first_way
from installed import Installed
from live_cluster import ROOT

from tools.photos import copy_demo_folder

__all__ = ["KIMG", "Quickstart", "run_quickstart"]

KIMG = 0.32
"""of the experiment here, which has 5: what counts is that every part is the real one"""


@dataclass(frozen=True)
class Quickstart:
    """The experiment's Job is done; what it made, by name."""

    job: dict[str, Any]
    run: str
    dataset: str
    report: str
    """the page"""


def run_quickstart(installed: Installed, folder: Path) -> Quickstart:
    """Types what stands there, in a folder where `photos` lies and the experiment trains less."""
    (photos := folder / "photos").mkdir()
    copy_demo_folder(photos)
    example = folder / "examples" / "kubernetes"
    shutil.copytree(ROOT / "examples" / "kubernetes", example)
    text = (example / "experiment.yaml").read_text()
    text = re.sub(r"(?m)^  kimg: .*", f"  kimg: {KIMG}", text)
    text = re.sub(r"(?m)^  snapshot_kimg: .*", f"  snapshot_kimg: {KIMG / 2}", text)
    text = re.sub(r"(?m)^  tick_kimg: .*", f"  tick_kimg: {KIMG / 4}", text)
    text = re.sub(r"(?m)^  samples: .*", "  samples: 64", text)
    (example / "experiment.yaml").write_text(text)
    copy, start, wait, fetch = first_way()[2]
    for command in (copy, start):
        installed.cluster.run("sh", "-c", command, cwd=folder)

    def ended() -> Any:
        job = installed.get("job", "quickstart")
        kinds = {c["type"] for c in job["status"].get("conditions", ()) if c["status"] == "True"}
        return job if kinds & {"Complete", "Failed"} else None

    # Looked at beside the command that waits for it: that one would not notice a failure.
    job = installed.cluster.wait("the experiment's end", ended, seconds=900)
    log = installed.kubectl("logs", "job/quickstart")
    assert job["status"].get("succeeded") == 1, log
    for command in (wait, fetch):
        installed.cluster.run("sh", "-c", command, cwd=folder)
    (run,) = (
        run for run in installed.tagloom("ls", "runs") if run["name"].startswith("runs/quickstart-")
    )
    return Quickstart(job, run["name"], run["dataset"], (folder / "report.html").read_text())
