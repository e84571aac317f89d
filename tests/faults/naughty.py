"""A store that misbehaves on order, around a real one: for every test of what a fault leaves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

from tagloom.errors import TagloomError, Unavailable
from tagloom.store import ObjectInfo, Page, Store

__all__ = ["Fault", "NaughtyStore"]

Answer = TypeVar("Answer")
Method = Literal[
    "get", "get_with_etag", "open", "head", "put", "put_file", "get_file", "delete", "list"
]


def _unavailable() -> TagloomError:
    return Unavailable("The store fails on purpose.", reason="STORE_UNAVAILABLE")


@dataclass
class Fault:
    """One order: at which calls what goes wrong.

    `at` counts the matching calls from 1; `times` of them in a row are hit (None: all from there).
    """

    kind: Literal["before", "after", "slow", "truncate"]
    """before: raises, and nothing happened. after: raises, though it was carried out (the answer
    was lost). slow: waits `delay_s` first. truncate: `get`, `get_with_etag` and `get_file` lose
    the second half of the bytes."""
    method: Method | None = None
    """None: any"""
    prefix: str = ""
    """only keys that start so"""
    at: int = 1
    times: int | None = 1
    delay_s: float = 0.0
    error: Callable[[], BaseException] = _unavailable
    seen: int = field(default=0, init=False)
    """matching calls so far"""
    hits: int = field(default=0, init=False)
    """how often it went wrong; a test asserts that it did"""


class NaughtyStore(Store):
    """`store` with `faults`; `calls` lists every (method, key) in order."""

    def __init__(self, store: Store, *faults: Fault) -> None:
        self.store = store
        self.faults = list(faults)
        self.calls: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return self.store.url

    def _due(self, method: Method, key: str) -> Iterator[Fault]:
        with self._lock:
            self.calls.append((method, key))
            for fault in self.faults:
                if fault.method not in (None, method) or not key.startswith(fault.prefix):
                    continue
                fault.seen += 1
                last = None if fault.times is None else fault.at + fault.times
                if fault.seen >= fault.at and (last is None or fault.seen < last):
                    fault.hits += 1
                    yield fault

    def _call(
        self,
        method: Method,
        key: str,
        work: Callable[[], Answer],
        shorten: Callable[[Answer], Answer] | None = None,
    ) -> Answer:
        due = list(self._due(method, key))
        for fault in due:
            if fault.kind == "slow":
                time.sleep(fault.delay_s)
            elif fault.kind == "before":
                raise fault.error()
        answer = work()
        for fault in due:
            if fault.kind == "after":
                raise fault.error()
            if fault.kind == "truncate" and shorten is not None:
                answer = shorten(answer)
        return answer

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        return self._call(
            "get",
            key,
            lambda: self.store.get(key, start=start, length=length),
            lambda data: data[: len(data) // 2],
        )

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        return self._call(
            "get_with_etag",
            key,
            lambda: self.store.get_with_etag(key),
            lambda answer: (answer[0][: len(answer[0]) // 2], answer[1]),
        )

    def open(self, key: str) -> BinaryIO:
        return self._call("open", key, lambda: self.store.open(key))

    def head(self, key: str) -> ObjectInfo:
        return self._call("head", key, lambda: self.store.head(key))

    def put(
        self, key: str, data: bytes, *, if_none_match: bool = False, if_match: str | None = None
    ) -> str:
        return self._call(
            "put",
            key,
            lambda: self.store.put(key, data, if_none_match=if_none_match, if_match=if_match),
        )

    def put_file(self, key: str, path: Path) -> str:
        return self._call("put_file", key, lambda: self.store.put_file(key, path))

    def get_file(self, key: str, path: Path) -> None:
        def shorten(_: None) -> None:
            data = path.read_bytes()
            path.write_bytes(data[: len(data) // 2])

        self._call("get_file", key, lambda: self.store.get_file(key, path), shorten)

    def delete(self, key: str) -> None:
        self._call("delete", key, lambda: self.store.delete(key))

    def list(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> Page:
        return self._call("list", prefix, lambda: self.store.list(prefix, after=after, limit=limit))
