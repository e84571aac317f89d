"""ETags of local files: BLAKE2b-256 of the bytes, kept beside them so that listings stay cheap."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections import OrderedDict

__all__ = ["EtagCache", "etag_of_bytes", "new_digest"]

_ATTRIBUTE = "user.tagloom.etag"
_CACHED = 4096
_CHUNK = 1 << 20


def new_digest() -> hashlib.blake2b:
    """A running ETag: feed it the bytes, take its hexdigest."""
    return hashlib.blake2b(digest_size=32)


def etag_of_bytes(data: bytes) -> str:
    """The ETag of an object with these bytes."""
    return hashlib.blake2b(data, digest_size=32).hexdigest()


class EtagCache:
    """Finds a file's ETag in its extended attribute, in memory, or by reading it (in this order).

    The attribute is written with the file, before it gets its name, and records the size and the
    modification time it is true for: a file that was edited or replaced by hand is read again.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, ...], str] = OrderedDict()
        self._lock = threading.Lock()

    def leave(self, fd: int, etag: str) -> None:
        """Record the ETag of the complete open file, where the file system can."""
        status = os.fstat(fd)
        value = f"{etag}:{status.st_size}:{status.st_mtime_ns}"
        with contextlib.suppress(OSError, AttributeError):  # old tmpfs, some NFS; macOS
            os.setxattr(fd, _ATTRIBUTE, value.encode())

    def find(self, fd: int, status: os.stat_result) -> str:
        """The ETag of the open file with this status."""
        with contextlib.suppress(OSError, AttributeError, UnicodeDecodeError):
            etag, _, rest = os.getxattr(fd, _ATTRIBUTE).decode().partition(":")
            if rest == f"{status.st_size}:{status.st_mtime_ns}":
                return etag
        file = (status.st_dev, status.st_ino, status.st_size)
        identity = (*file, status.st_mtime_ns, status.st_ctime_ns)
        with self._lock:
            known = self._known.get(identity)
        if known is None:
            digest = new_digest()
            for start in range(0, status.st_size, _CHUNK):
                digest.update(os.pread(fd, _CHUNK, start))
            known = digest.hexdigest()
            with self._lock:
                self._known[identity] = known
                if len(self._known) > _CACHED:
                    self._known.popitem(last=False)
        return known
