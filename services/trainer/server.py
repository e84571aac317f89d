"""Starts the trainer alone: `python -m services.trainer.server`."""

from __future__ import annotations

from services.trainer.service import register
from tagloom.rpc.run import main

if __name__ == "__main__":
    main({"trainer": register})
