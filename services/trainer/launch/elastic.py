"""`torchrun` that ends with its parent: `python -m services.trainer.launch.elastic PID ARGS…`."""

from __future__ import annotations

import sys

from tagloom.lifeline import die_with_parent

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """`arguments`: the parent's process id, then torchrun's own."""
    die_with_parent(int(arguments[0]))  # before torch, whose import takes seconds
    from torch.distributed.run import main as torchrun

    torchrun(arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
