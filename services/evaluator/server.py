"""Starts the evaluator alone: `python -m services.evaluator.server`."""

from __future__ import annotations

from services.evaluator.service import register
from tagloom.rpc.run import main

if __name__ == "__main__":
    main({"evaluator": register})
