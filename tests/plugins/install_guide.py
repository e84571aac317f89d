"""The commands of docs/install.md, as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["GUIDE", "blocks", "first_way"]

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "install.md"


def blocks() -> list[list[str]]:
    """The commands of each block of shell."""
    found = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [block.strip().splitlines() for block in found]


def first_way() -> tuple[list[str], list[str], list[str]]:
    """From nothing to the first report on a single node: how the images get onto it, the
    installation, the experiment."""
    commands = blocks()[0]
    (images,) = (n for n, command in enumerate(commands) if command == "k8s/create-secrets")
    (experiment,) = (n for n, command in enumerate(commands) if command.startswith("tar "))
    return commands[:images], commands[images:experiment], commands[experiment:]
