"""The echo service as a program of its own, for tests that kill it."""

from __future__ import annotations

import echo_service

from tagloom.rpc.run import main

if __name__ == "__main__":
    main({"echo": echo_service.register})
