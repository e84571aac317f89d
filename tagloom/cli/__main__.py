"""`python -m tagloom.cli` is `tagloom`."""

from __future__ import annotations

from tagloom.cli.app import main

if __name__ == "__main__":
    main()
