"""Starts the generator alone: `python -m services.generator.server`."""

from __future__ import annotations

from services.generator.service import register
from tagloom.rpc.run import main

if __name__ == "__main__":
    main({"generator": register})
