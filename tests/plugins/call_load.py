"""Calls a server without pause and counts what is lost: `python call_load.py ADDRESS THREADS`.

Every call opens a connection of its own and is tried once. Ends when its standard input does, and
prints one JSON document: how many calls were answered, and each failure. The token is read from
TAGLOOM_TOKEN. It is a program of its own because it runs where a cluster's names work.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time

import grpc

from tagloom.v1 import scraper_pb2, scraper_pb2_grpc

OPTIONS = [
    # Channels of one process share connections to the same address, unless told otherwise.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
]


class Load:
    """What all threads count together."""

    def __init__(self, address: str) -> None:
        self.address, self.done = address, threading.Event()
        self.answered, self.slowest_s = 0, 0.0
        self.failures: list[str] = []
        self._lock = threading.Lock()
        self._metadata = [("authorization", f"Bearer {os.environ['TAGLOOM_TOKEN']}")]

    def call_until_done(self) -> None:
        """One thread."""
        while not self.done.is_set():
            begin = time.monotonic()
            try:
                with grpc.insecure_channel(self.address, options=OPTIONS) as channel:
                    scraper_pb2_grpc.ScraperServiceStub(channel).ListCollections(
                        scraper_pb2.ListCollectionsRequest(page_size=1),
                        metadata=self._metadata,
                        timeout=30,
                    )
                failure = ""
            except grpc.RpcError as error:
                failure = f"{time.strftime('%X')} {error.code().name}: {error.details()}"
            with self._lock:
                self.slowest_s = max(self.slowest_s, time.monotonic() - begin)
                if failure:
                    self.failures.append(failure)
                else:
                    self.answered += 1


def main(address: str, count: int) -> None:
    """Until the end of standard input."""
    load = Load(address)
    threads = [threading.Thread(target=load.call_until_done) for _ in range(count)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    load.done.set()
    for thread in threads:
        thread.join()
    json.dump(
        {
            "answered": load.answered,
            "failures": load.failures,
            "slowest_s": round(load.slowest_s, 3),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
