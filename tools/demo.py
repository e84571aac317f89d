"""`make demo`: from the photos in two Python packages to a trained and scored generator.

    python tools/demo.py [--fresh]

Copies the photos into a plain folder, runs `examples/quickstart.yaml` on it, and fails unless the
trained network is measurably nearer to the held-out photos than the one it started from.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tagloom.errors import TagloomError
from tools.photos import copy_demo_folder

ROOT = Path(__file__).resolve().parent.parent
EXPERIMENT = ROOT / "examples" / "quickstart.yaml"


def main(arguments: list[str] | None = None) -> int:
    """0: the report is written and the gate passed; 1: it did not, or a step failed."""
    parser = argparse.ArgumentParser(description="From photos to a scored generator.")
    parser.add_argument("--fresh", action="store_true", help="start over; what there is stays")
    fresh: bool = parser.parse_args(arguments).fresh
    begin = time.monotonic()
    try:
        folder = photos(ROOT / "demo" / "photos")
    except TagloomError as error:
        print(f"{error.message} [{error.reason}]", file=sys.stderr)
        return 1
    print(f"{sum(1 for _ in folder.iterdir())} files in {folder.relative_to(ROOT)}")
    result = run(fresh)
    if result is None:
        return 1
    for outcome in result["outcomes"]:
        print(outcome["gate_sentence"])
        for sentence in outcome["alarms"]:
            print(f"Alarm: {sentence}")
    if result["reused"]:
        print("Everything was there already. (make demo FRESH=1 starts over.)")
    print(f"\nReport  {result['report']}")
    print(f"Next    {as_typed_here(result['next'][0])}")
    print(f"Time    {time.monotonic() - begin:.0f} s, installation not included")
    if not result["gate_passed"]:
        print("\nThe gate was missed: the sentence above says by how much.", file=sys.stderr)
        return 1
    return 0


def photos(folder: Path) -> Path:
    """The demo's photos as a plain folder; one that is there already is left as it is."""
    if not folder.is_dir():
        draft = folder.with_name(f"{folder.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        copy_demo_folder(draft)
        draft.rename(folder)
    return folder


def run(fresh: bool) -> dict[str, Any] | None:
    """`tagloom run` with its progress on this terminal; its answer, or None when it failed."""
    command = [sys.executable, "-m", "tagloom.cli", "run", str(EXPERIMENT), "--json"]
    command += ["--fresh"] if fresh else []
    finished = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    if finished.returncode:
        return None
    answer: dict[str, Any] = json.loads(finished.stdout)
    return answer


def as_typed_here(command: str) -> str:
    """`tagloom …` as it works in a shell of this folder: the demo's environment is not activated.

    The program lies beside this Python, in `.venv/bin`.
    """
    program = Path(sys.executable).with_name("tagloom")
    if shutil.which("tagloom") == str(program) or not program.is_file():
        return command
    shown = program.relative_to(ROOT) if program.is_relative_to(ROOT) else program
    return f"{shlex.quote(str(shown))} {command.removeprefix('tagloom ')}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nInterrupted. Nothing is lost: make demo goes on from here.", file=sys.stderr)
        sys.exit(130)
