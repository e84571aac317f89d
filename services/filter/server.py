"""Serves the filter alone: `python -m services.filter.server`."""

from __future__ import annotations

from services.filter.service import register
from tagloom.rpc.run import main

if __name__ == "__main__":
    main({"filter": register})
