"""Functions for worker processes to call; they must be importable there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tagloom.errors import ResourceExhausted
from tagloom.progress import Report
from tagloom.store import open_store
from tagloom.store.interface import ObjectNotFound


def add(a: int, b: int) -> int:
    return a + b


def environment(name: str) -> str | None:
    return os.environ.get(name)


def big(count: int) -> bytes:
    return b"x" * count


def refuse() -> None:
    raise ResourceExhausted("The disk is full; free some.", reason="STORE_FULL", key="a")


def not_there() -> None:
    raise ObjectNotFound("No such object.", reason="OBJECT_NOT_FOUND")


def crash() -> None:
    raise ZeroDivisionError("a secret of the inside")


def chatter() -> None:
    print("printed by a library", flush=True)


def unpicklable() -> object:
    return lambda: None


def kill_itself(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


def leave() -> None:
    sys.exit(3)


def steps(count: int, seconds: float, *, report: Report) -> int:
    for step in range(count):
        report("step", step, count, f"step {step}")
        time.sleep(seconds)
    return count


def says_something_early(count: int, *, report: Report) -> None:
    report("step", 0, count, "looking")
    report("step", 0, count, f"found {count}")
    for done in range(1, count + 1):
        time.sleep(0.01)
        report("step", done, count)


def steps_and_tidy(path: str, *, report: Report) -> None:
    try:
        while True:
            report("step", 0, 0)
            time.sleep(0.01)
    finally:
        Path(path).write_text("tidied")


def deaf(seconds: float) -> None:
    time.sleep(seconds)


def with_child(path: str) -> None:
    """Start a program, leave its number in a file, and never end."""
    child = subprocess.Popen(["sleep", "600"])
    Path(path).write_text(str(child.pid))
    time.sleep(600)


def gentle_child() -> int:
    """How a program started by a call takes SIGTERM: the exit status."""
    with subprocess.Popen(["sleep", "600"]) as child:
        time.sleep(0.1)
        child.send_signal(signal.SIGTERM)
        return child.wait(10)


def put_objects(url: str, count: int) -> None:
    store = open_store(url)
    for number in range(count):
        store.put(f"objects/{number}", b"")


def put_objects_slowly(url: str, count: int, *, report: Report) -> None:
    store = open_store(url)
    for number in range(count):
        store.put(f"objects/{number}", b"")
        report("put", number, count)
        time.sleep(0.5)
