"""A store in a local folder: the key is the path below it, and any tool can read what lies there.

How a write becomes atomic and durable: the bytes go to a hidden temporary file on the same file
system and are synced; then, under the key's lock, the preconditions are judged and the file is
renamed (or, for `if_none_match`, hard-linked, which fails if the name exists) into place; then the
folder is synced. A file is never changed once it has its name, so readers need no lock.

Locks are `flock`s on 256 files in `.tagloom/locks`, one per hash of the key: they hold between
threads and between processes, the kernel drops them when their holder dies, and their number does
not grow. They guard microseconds; one that is not had in 30 s (its holder is suspended) is an
Unavailable error, not a hang.

The ETag is BLAKE2b-256 of the bytes, so it survives a copy of the folder and a takeover by another
machine. Writers leave it in an extended attribute together with size and modification time;
where the file system has none, or somebody edited the file by hand, it is computed again.

Path parts are opened one by one, relative to each other, with O_NOFOLLOW: a symbolic link inside
the store is never followed. Limits: POSIX only; where the file system ignores case, so do keys; a
network file system must support flock and hard links between its clients.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from tagloom.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from tagloom.store.etags import EtagCache, etag_of_bytes, new_digest
from tagloom.store.faults import changed, check_limit, check_preconditions, check_range, not_found
from tagloom.store.files import CHUNK, receive, source_chunks
from tagloom.store.folder import OPEN_FILE, OPEN_FOLDER, Folder
from tagloom.store.interface import ObjectInfo, Page, Store
from tagloom.store.keys import check_key, is_segment
from tagloom.store.tally import TALLY

__all__ = ["LocalStore"]

_ATTEMPTS = 16


class LocalStore(Store):
    """Objects as files below `root`, which is made if missing and `create` is true.

    Raises NotFound (STORE_NOT_FOUND) without `create`, InvalidArgument (STORE_URL_INVALID) when
    `root` is not a folder, PermissionDenied (STORE_NOT_WRITABLE).
    """

    def __init__(self, root: Path, *, create: bool = True) -> None:
        self._root = Path(os.path.realpath(root))
        self._folder = Folder(self._root)
        self._etags = EtagCache()
        if not create and not self._root.is_dir():
            raise NotFound(
                f"There is no store at {self._root}; check the path.",
                reason="STORE_NOT_FOUND",
                url=self._root,
            )
        try:
            with self._folder.translated():
                self._folder.prepare()
        except FailedPrecondition as error:
            raise InvalidArgument(
                f"The store {self._root} is not a folder; name a folder.",
                reason="STORE_URL_INVALID",
                url=self._root,
            ) from error

    def __reduce__(self) -> tuple[object, ...]:
        return LocalStore, (self._root,)

    def __repr__(self) -> str:
        return f"LocalStore({str(self._root)!r})"

    @property
    def url(self) -> str:
        return self._root.as_uri()

    # --- reading

    @TALLY.timed("get")
    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        with self._opened(key) as (fd, status):
            check_range(key, status.st_size, start, length)
            end = status.st_size if length is None else min(status.st_size, start + length)
            return _read(fd, start, end)

    @TALLY.timed("get")
    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        with self._opened(key) as (fd, status):
            data = _read(fd, 0, status.st_size)
        return data, etag_of_bytes(data)

    @TALLY.timed("get")
    def open(self, key: str) -> BinaryIO:
        # The stream keeps the file that it opened, whatever is written under the key later.
        with self._opened(key) as (fd, _):
            return os.fdopen(os.dup(fd), "rb", buffering=CHUNK)

    @TALLY.timed("head")
    def head(self, key: str) -> ObjectInfo:
        with self._opened(key) as (fd, status):
            return self._info(key, fd, status)

    @TALLY.timed("get")
    def get_file(self, key: str, path: Path) -> None:
        with self._opened(key) as (fd, status), receive(path) as target:
            for start in range(0, status.st_size, CHUNK):
                target.write(_read(fd, start, min(status.st_size, start + CHUNK)))

    @TALLY.timed("list")
    def list(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> Page:
        check_limit(limit)
        *folders, _ = prefix.split("/")
        if not all(map(is_segment, folders)):
            return Page([], None)
        base = "".join(folder + "/" for folder in folders)
        found: list[ObjectInfo] = []
        with self._folder.translated(), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for info in self._scan(self._folder.open(folders), base, prefix, after.encode()):
                if len(found) == limit:
                    return Page(found, found[-1].key)
                found.append(info)
        return Page(found, None)

    def _scan(self, folder: int, base: str, prefix: str, after: bytes) -> Iterator[ObjectInfo]:
        """Objects in an open folder (closed at the end) and below, in byte order of their keys."""
        try:
            names: list[tuple[bytes, str]] = []
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not is_segment(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        # "a-b" sorts before "a/b": a folder takes its place with its slash.
                        key = base + entry.name + "/"
                        wanted = key.startswith(prefix) or prefix.startswith(key)
                        order = key.encode()
                        wanted = wanted and (order > after or after.startswith(order))
                    else:
                        key = base + entry.name
                        order = key.encode()
                        wanted = key.startswith(prefix) and order > after
                        wanted = wanted and entry.is_file(follow_symlinks=False)
                    if wanted:
                        names.append((order, key))
            for _, key in sorted(names):
                # What another process removes meanwhile is simply not listed.
                with contextlib.suppress(FileNotFoundError):
                    if key.endswith("/"):
                        name = key[len(base) : -1]
                        inner = os.open(name, OPEN_FOLDER, dir_fd=folder)
                        yield from self._scan(inner, key, prefix, after)
                    else:
                        fd = os.open(key[len(base) :], OPEN_FILE, dir_fd=folder)
                        try:
                            info = self._info(key, fd, os.fstat(fd))
                        finally:
                            os.close(fd)
                        yield info
        finally:
            os.close(folder)

    # --- writing

    @TALLY.timed("put")
    def put(
        self, key: str, data: bytes, *, if_none_match: bool = False, if_match: str | None = None
    ) -> str:
        return self._write(key, (data,), if_none_match=if_none_match, if_match=if_match)

    @TALLY.timed("put_file")
    def put_file(self, key: str, path: Path) -> str:
        with contextlib.closing(source_chunks(path)) as chunks:
            return self._write(key, chunks)

    @TALLY.timed("delete")
    def delete(self, key: str) -> None:
        *folders, name = check_key(key)
        with self._folder.translated(key):
            try:
                folder = self._folder.open(folders)
            except (FileNotFoundError, NotADirectoryError):
                return
            try:
                with self._folder.locked(key):
                    if stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
                        return
                    os.unlink(name, dir_fd=folder)
                os.fsync(folder)
            except FileNotFoundError:
                return
            finally:
                os.close(folder)
            self._prune(folders)

    def _prune(self, folders: Sequence[str]) -> None:
        """Remove folders left empty, so that their names are free for objects again."""
        for depth in range(len(folders), 0, -1):
            try:
                parent = self._folder.open(folders[: depth - 1])
            except OSError:
                return
            try:
                os.rmdir(folders[depth - 1], dir_fd=parent)
            except OSError:
                return
            finally:
                os.close(parent)

    def _write(
        self,
        key: str,
        chunks: Iterator[bytes] | tuple[bytes, ...],
        *,
        if_none_match: bool = False,
        if_match: str | None = None,
    ) -> str:
        parts = check_key(key)
        check_preconditions(if_none_match, if_match)
        with self._folder.translated(key):
            temporary = self._folder.temporary()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(temporary, flags, 0o666)
            try:
                # The lock says "being written" to the sweep of another process.
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                digest = new_digest()
                for chunk in chunks:
                    digest.update(chunk)
                    view = memoryview(chunk)
                    while view:
                        view = view[os.write(fd, view) :]
                etag = digest.hexdigest()
                self._etags.leave(fd, etag)
                os.fsync(fd)
                self._place(key, parts, temporary, if_none_match, if_match)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)  # gone already if it was renamed
                os.close(fd)
        return etag

    def _place(
        self,
        key: str,
        parts: Sequence[str],
        temporary: Path,
        if_none_match: bool,
        if_match: str | None,
    ) -> None:
        """Give the temporary file its name, if the preconditions hold."""
        *folders, name = parts
        for _ in range(_ATTEMPTS):
            try:
                folder = self._folder.open(folders, create=True)
            except FileNotFoundError:
                continue  # a delete pruned it under our feet
            except NotADirectoryError as error:
                raise _conflict(key, "a part of its path is an object already") from error
            try:
                with self._folder.locked(key):
                    if if_match is not None and self._current(folder, name) != if_match:
                        raise changed(key, "is not what was read")
                    if if_none_match:
                        os.link(temporary, name, dst_dir_fd=folder)
                    else:
                        os.rename(temporary, name, dst_dir_fd=folder)
                os.fsync(folder)
                return
            except (FileExistsError, IsADirectoryError) as error:
                try:
                    os.rmdir(name, dir_fd=folder)  # an empty folder is no object: make room
                except FileNotFoundError:
                    continue
                except NotADirectoryError:
                    raise changed(key, "exists already") from error
                except OSError:
                    raise _conflict(key, "there are objects below that name") from error
            except FileNotFoundError:
                if not temporary.exists():
                    raise  # the store itself was removed
            finally:
                os.close(folder)
        raise Unavailable(
            f"The folder of {key!r} kept vanishing while it was written; try again.",
            reason="STORE_UNAVAILABLE",
            key=key,
        )

    # --- the folder underneath

    @contextlib.contextmanager
    def _opened(self, key: str) -> Iterator[tuple[int, os.stat_result]]:
        """The object's descriptor and status. Raises ObjectNotFound."""
        *folders, name = check_key(key)
        with self._folder.translated(key):
            fd = None
            try:
                folder = self._folder.open(folders)
                try:
                    fd = os.open(name, OPEN_FILE, dir_fd=folder)
                except OSError as error:
                    if error.errno == errno.ELOOP:
                        self._folder.refuse_link(folder, name)
                    raise
                finally:
                    os.close(folder)
                status = os.fstat(fd)
                if not stat.S_ISREG(status.st_mode):
                    raise FileNotFoundError
                yield fd, status
            except (FileNotFoundError, NotADirectoryError) as error:
                raise not_found(key, self.url) from error
            finally:
                if fd is not None:
                    os.close(fd)

    def _current(self, folder: int, name: str) -> str | None:
        """The ETag of the object with this name now; None if there is none."""
        try:
            fd = os.open(name, OPEN_FILE, dir_fd=folder)
        except FileNotFoundError:
            return None
        try:
            return self._etags.find(fd, os.fstat(fd))
        finally:
            os.close(fd)

    def _info(self, key: str, fd: int, status: os.stat_result) -> ObjectInfo:
        modified = datetime.fromtimestamp(status.st_mtime, UTC)
        return ObjectInfo(key, status.st_size, self._etags.find(fd, status), modified)


def _read(fd: int, start: int, end: int) -> bytes:
    parts = []
    while start < end:
        part = os.pread(fd, end - start, start)
        if not part:
            break
        parts.append(part)
        start += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _conflict(key: str, how: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"The object {key!r} cannot be written: {how}; choose another name.",
        reason="KEY_CONFLICT",
        key=key,
    )
