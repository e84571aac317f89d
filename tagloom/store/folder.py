"""The folder under a local store: descriptors that no link can divert, locks, leftovers, errors."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import random
import stat
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from tagloom.errors import (
    FailedPrecondition,
    PermissionDenied,
    ResourceExhausted,
    TagloomError,
    Unavailable,
)
from tagloom.files import is_full

__all__ = ["OPEN_FILE", "OPEN_FOLDER", "Folder"]

OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HIDDEN = ".tagloom"
_LOCK_TIMEOUT_S = 30.0
_STALE_S = 60.0


class Folder:
    """`root` and the hidden folder in it, `.tagloom`, with `tmp` and `locks`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._temporary = root / _HIDDEN / "tmp"
        self._locks = root / _HIDDEN / "locks"

    def prepare(self) -> None:
        """Make what is missing; remove what writers that died left. Raises OSError."""
        self._temporary.mkdir(parents=True, exist_ok=True)
        self._locks.mkdir(exist_ok=True)
        self._sweep()

    def temporary(self) -> Path:
        """A new name on the store's file system, out of any listing's sight."""
        return self._temporary / uuid.uuid4().hex

    def _sweep(self) -> None:
        """Remove the temporary files of writers that died."""
        for path in self._temporary.iterdir():
            with contextlib.suppress(FileNotFoundError, BlockingIOError, PermissionError):
                # The age covers the moment between a file's creation and its lock.
                if time.time() - path.lstat().st_mtime > _STALE_S:
                    fd = os.open(path, OPEN_FILE)
                    try:
                        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        path.unlink()
                    finally:
                        os.close(fd)

    def open(self, parts: Sequence[str], *, create: bool = False) -> int:
        """A descriptor of the folder below the root; raises OSError as `open` does."""
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                try:
                    inner = os.open(part, OPEN_FOLDER, dir_fd=fd)
                except FileNotFoundError:
                    if not create:
                        raise
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, dir_fd=fd)
                    os.fsync(fd)
                    inner = os.open(part, OPEN_FOLDER, dir_fd=fd)
                except OSError as error:
                    if error.errno in (errno.ELOOP, errno.ENOTDIR):
                        self.refuse_link(fd, part)
                    raise
                os.close(fd)
                fd = inner
        except BaseException:
            os.close(fd)
            raise
        return fd

    def refuse_link(self, folder: int, name: str) -> None:
        if stat.S_ISLNK(os.lstat(name, dir_fd=folder).st_mode):
            raise PermissionDenied(
                f"{name!r} in the store {self.root} is a symbolic link, which a store does not "
                "follow; put what it points to in its place.",
                reason="STORE_LINK_REFUSED",
                name=name,
            )

    @contextlib.contextmanager
    def locked(self, key: str) -> Iterator[None]:
        stripe = hashlib.blake2b(key.encode(), digest_size=1).hexdigest()
        path = self._locks / stripe
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            deadline = time.monotonic() + _LOCK_TIMEOUT_S
            pause = 0.0005
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > deadline:
                        raise Unavailable(
                            f"Another process has held the lock {path} for {_LOCK_TIMEOUT_S:.0f} s "
                            "(it may be suspended); end it or try again.",
                            reason="STORE_UNAVAILABLE",
                            key=key,
                        ) from error
                    time.sleep(random.uniform(0.5, 1.5) * pause)
                    pause = min(2 * pause, 0.02)
            yield
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def translated(self, key: str = "") -> Iterator[None]:
        """Turn what the operating system says into Tagloom's errors."""
        try:
            yield
        except TagloomError:
            raise
        except OSError as error:
            raise self._error(error, key) from error

    def _error(self, error: OSError, key: str) -> TagloomError:
        why = os.strerror(error.errno) if error.errno else str(error)
        if is_full(error):
            return ResourceExhausted(
                f"The store {self.root} is full ({why}); nothing that was there is changed: "
                "free some space and try again.",
                reason="STORE_FULL",
                key=key,
            )
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return PermissionDenied(
                f"The store {self.root} refuses access ({why}); check its owner, its mode and "
                "that its file system is writable and has hard links.",
                reason="STORE_NOT_WRITABLE",
                key=key,
            )
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            return FailedPrecondition(
                f"Something that is not a folder stands where {self.root} needs one.",
                reason="STORE_URL_INVALID",
            )
        return Unavailable(
            f"The store {self.root} failed ({why}); check the disk and try again.",
            reason="STORE_UNAVAILABLE",
            key=key,
        )
