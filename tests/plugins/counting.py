"""The work of the echo service's operations. A module of its own, quickly imported by workers."""

from __future__ import annotations

import os
import time

from tagloom import errors
from tagloom.progress import Report
from tagloom.store.interface import Store


def count(store: Store, name: str, units: int, seconds: float, *, report: Report) -> int:
    """Do each unit once: whoever comes later finds what is done. Leaves a trace of each doing."""
    if name == "crash":
        raise RuntimeError("a secret of the inside")
    if name == "missing":
        raise errors.NotFound("There is no such thing to count; name another.", reason="NOTHING")
    if name == "die":
        os.kill(os.getpid(), 9)
    while name == "deaf":
        time.sleep(0.1)
    if name == "idle":  # report, and write nothing
        for unit in range(units):
            report("count", unit + 1, units)
            time.sleep(seconds)
        return 0
    for unit in range(units):
        report("count", unit, units, f"unit {unit}")
        key = f"counts/{name}/units/{unit:04d}"
        if store.exists(key):
            continue
        time.sleep(seconds)
        store.put(f"counts/{name}/traces/{unit:04d}-{os.getpid()}-{time.time_ns()}", b"")
        store.put(key, str(unit).encode(), if_none_match=True)
    total = sum(int(store.get(info.key)) for info in store.iterate(f"counts/{name}/units/"))
    # Traces of the end: there must be one manifest, and it says who committed it.
    manifest = f"counts/{name}/manifest.json"
    if not store.exists(manifest):
        store.put(manifest, str(os.getpid()).encode(), if_none_match=True)
    report("count", units, units, "counted")
    return total


def burn(seconds: float) -> None:
    """Keep a core busy for so much of its time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
