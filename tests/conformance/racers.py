"""Threads and processes that race for one object; run as a program, one of those processes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tagloom.store import PreconditionFailed, Store, open_store


def create(store: Store, key: str, who: int) -> bool:
    """Whether this writer's exclusive create won."""
    try:
        store.put(key, f"writer {who}".encode(), if_none_match=True)
    except PreconditionFailed:
        return False
    return True


def count_up(store: Store, key: str, times: int) -> int:
    """Add one to the number in the document, `times` times, by compare-and-swap; lost races."""
    lost = 0
    for _ in range(times):
        while True:
            data, etag = store.get_with_etag(key)
            number = json.loads(data)["n"] + 1
            try:
                store.put(key, json.dumps({"n": number}).encode(), if_match=etag)
                break
            except PreconditionFailed:
                lost += 1
    return lost


def in_threads(threads: int, work: Callable[[int], object]) -> list[object]:
    """The results of `work(0)`, `work(1)`, …, let loose at the same moment."""
    barrier = threading.Barrier(threads)

    def one(index: int) -> object:
        barrier.wait(60)
        return work(index)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(threads)))


def in_processes(task: str, url: str, key: str, *, processes: int, threads: int) -> list[object]:
    """The results of `processes` times `threads` racers, over stores that each process opens."""
    racers = []
    try:
        for index in range(processes):
            arguments = [task, url, key, str(index * threads), str(threads)]
            racers.append(
                subprocess.Popen(
                    [sys.executable, __file__, *arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
        for racer in racers:  # all have opened their store
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        results: list[object] = []
        for racer in racers:
            answer, _ = racer.communicate(timeout=120)
            assert racer.returncode == 0
            results += json.loads(answer)
        return results
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()


def main() -> None:
    """One process of a race."""
    task, url, key, first, threads = sys.argv[1:]
    store = open_store(url)
    print("ready", flush=True)
    sys.stdin.readline()
    if task == "create":
        results = in_threads(int(threads), lambda index: create(store, key, int(first) + index))
    else:
        results = in_threads(int(threads), lambda _: count_up(store, key, 5))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
