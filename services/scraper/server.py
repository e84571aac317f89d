"""Starts the scraper alone: `python -m services.scraper.server`."""

from __future__ import annotations

from services.scraper.service import register
from tagloom.rpc.run import main

if __name__ == "__main__":
    main({"scraper": register})
