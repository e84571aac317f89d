"""A store whose process dies at a chosen write: for work that has to survive a kill at each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tagloom.store import ObjectInfo, Page, Store

__all__ = ["Dying", "Killed"]


class Killed(BaseException):
    """As if the process had ended here."""


class Dying(Store):
    """A store whose process is killed at its n-th write or deletion, before or after it."""

    def __init__(self, store: Store, writes: int, *, after: bool) -> None:
        self._store, self._left, self._after = store, writes, after

    def _do(self, act: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._left == 0:
            raise Killed
        self._left -= 1
        result = act(*args, **kwargs) if self._left or self._after else None
        if self._left == 0:
            raise Killed
        return result

    @property
    def url(self) -> str:
        return self._store.url

    def put(self, key: str, data: bytes, **kwargs: Any) -> str:
        return str(self._do(self._store.put, key, data, **kwargs))

    def put_file(self, key: str, path: Path) -> str:
        return str(self._do(self._store.put_file, key, path))

    def delete(self, key: str) -> None:
        self._do(self._store.delete, key)

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        return self._store.get(key, start=start, length=length)

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        return self._store.get_with_etag(key)

    def open(self, key: str) -> Any:
        return self._store.open(key)

    def head(self, key: str) -> ObjectInfo:
        return self._store.head(key)

    def get_file(self, key: str, path: Path) -> None:
        self._store.get_file(key, path)

    def list(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> Page:
        return self._store.list(prefix, after=after, limit=limit)
