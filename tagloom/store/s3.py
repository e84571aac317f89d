"""A store in a bucket of any S3 server, through the `minio` client.

`put` is one PUT, conditional where asked; `put_file` is a multipart upload, which appears complete
or not at all but cannot be conditional. Requests that may be repeated are, a few times.

A PUT whose answer was lost is repeated too; if the repeat then fails its precondition, the object
is read back: the same bytes mean that the first try had won. Competing writers should therefore
write different bytes (a lease names its owner); two that write the same may both be told that they
won, which changes nothing.

An upload whose process was killed leaves hidden parts behind: give the bucket a lifecycle rule that
aborts incomplete multipart uploads.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

from minio.datatypes import Object
from minio.error import S3Error

from tagloom.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound
from tagloom.store.faults import changed, check_limit, check_preconditions, check_range
from tagloom.store.files import CHUNK, receive, unusable
from tagloom.store.interface import InvalidKey, ObjectInfo, Page, Store
from tagloom.store.keys import check_key, is_key
from tagloom.store.s3_client import Settings, conditional_put, make_client, with_retries
from tagloom.store.tally import TALLY, Request

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["S3Store"]

Answer = TypeVar("Answer")

_PART = 16 << 20
"""bytes in a part of a multipart upload, and in a ranged read of a large download"""


class S3Store(Store):
    """Objects in `bucket`, below `prefix`; the bucket is made if missing and `create` is true.

    Raises NotFound (STORE_NOT_FOUND) without `create`, InvalidArgument (STORE_URL_INVALID) for a
    bucket name or a prefix that S3 does not allow, and whatever keeps the server from answering.
    """

    def __init__(
        self, bucket: str, prefix: str, settings: Settings, *, create: bool = False
    ) -> None:
        try:
            if prefix:
                check_key(prefix)
        except InvalidKey as error:
            raise _invalid(f"s3://{bucket}/{prefix}", error.message) from None
        self._bucket = bucket
        self._prefix = prefix + "/" if prefix else ""
        self._settings = settings
        self._client = make_client(settings)
        self._uploads = make_client(settings, repeat=True)
        self._ensure_bucket(create)

    @classmethod
    def from_environment(cls, bucket: str, prefix: str = "", *, create: bool = False) -> S3Store:
        """Open with `Settings.from_environment`."""
        return cls(bucket, prefix, Settings.from_environment(), create=create)

    def __reduce__(self) -> tuple[object, ...]:
        # Credentials do not travel: the other process takes them from its environment.
        return S3Store.from_environment, (self._bucket, self._prefix.rstrip("/"))

    def __repr__(self) -> str:
        return f"S3Store({self.url!r}, endpoint={self._settings.shown!r})"

    @property
    def url(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    # --- reading

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        name = self._name(key)
        if start < 0 or (length is not None and length <= 0):
            check_range(key, self.head(key).size, start, length)
            return b""

        def attempt(_: int) -> bytes | None:
            try:
                return self._read(name, start, length)[0]
            except S3Error as error:
                # 416: S3 has no empty range, not even at the very end of an object.
                if error.code == "InvalidRange":
                    return None
                raise

        data = self._tried("get", key, attempt)
        if data is None:
            check_range(key, self.head(key).size, start, length)
            return b""
        return data

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        name = self._name(key)
        return self._tried("get", key, lambda _: self._read(name, 0, None))

    def open(self, key: str) -> BinaryIO:
        info = self.head(key)
        raw = _RangedObject(info.size, lambda start, end: self._part(info, start, end))
        return cast(BinaryIO, io.BufferedReader(raw, CHUNK))

    def head(self, key: str) -> ObjectInfo:
        name = self._name(key)
        found = self._tried("head", key, lambda _: self._client.stat_object(self._bucket, name))
        return _info(key, found)

    def get_file(self, key: str, path: Path) -> None:
        info = self.head(key)
        with receive(path) as target:
            for start in range(0, info.size, _PART):
                target.write(self._part(info, start, min(info.size, start + _PART)))

    def list(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> Page:
        check_limit(limit)

        def ask(_: int) -> list[ObjectInfo]:
            answer = self._client.list_objects(
                self._bucket,
                prefix=self._prefix + prefix,
                recursive=True,
                start_after=self._prefix + after if after else None,
            )
            return list(islice(self._known(answer), limit + 1))

        found = self._tried("list", prefix, ask)
        return Page(found[:limit], found[limit - 1].key if len(found) > limit else None)

    # --- writing

    def put(
        self, key: str, data: bytes, *, if_none_match: bool = False, if_match: str | None = None
    ) -> str:
        name = self._name(key)
        check_preconditions(if_none_match, if_match)
        headers: dict[str, str] = {}
        if if_none_match:
            headers["If-None-Match"] = "*"
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        in_doubt = False  # whether an earlier try may have been carried out

        def attempt(_: int) -> str:
            nonlocal in_doubt
            try:
                return conditional_put(self._client, self._bucket, name, data, headers=headers)
            except S3Error as error:
                lost = error.code == "PreconditionFailed" or (
                    error.code == "NoSuchKey" and if_match is not None
                )
                if lost and not in_doubt:
                    how = "exists already" if if_none_match else "is not what was read"
                    raise changed(key, how) from error
                if not lost:
                    in_doubt |= error.response.status != 409
                    raise
            except Exception:
                in_doubt = True
                raise
            try:
                there, etag = self._read(name, 0, None)
            except S3Error as error:
                if error.code != "NoSuchKey":
                    raise
                there = None
            if there != data:
                raise changed(key, "was changed by another writer")
            return etag

        return self._tried("put", key, attempt)

    def put_file(self, key: str, path: Path) -> str:
        name = self._name(key)

        def attempt(_: int) -> str:
            try:
                with path.open("rb") as source:
                    size = os.fstat(source.fileno()).st_size
                    # One part at a time: the client's pool leaves its threads behind on an error.
                    result = self._uploads.put_object(
                        self._bucket, name, source, size, part_size=_PART, num_parallel_uploads=1
                    )
            except OSError as error:
                raise unusable(path, error) from error
            assert result.etag
            return result.etag

        return self._tried("put_file", key, attempt)

    def delete(self, key: str) -> None:
        name = self._name(key)
        self._tried("delete", key, lambda _: self._client.remove_object(self._bucket, name))

    # --- the bucket underneath

    def _name(self, key: str) -> str:
        check_key(key, prefix_bytes=len(self._prefix.encode()))
        return self._prefix + key

    def _tried(self, request: Request, key: str, attempt: Callable[[int], Answer]) -> Answer:
        with TALLY.timed(request):
            return with_retries(self._settings, self._bucket, key, attempt)

    def _read(
        self, name: str, start: int, length: int | None, *, if_match: str | None = None
    ) -> tuple[bytes, str]:
        """A range of the object, and the ETag of the object that it is a range of."""
        headers: dict[str, str | list[str] | tuple[str]] = {}
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        response = self._client.get_object(
            self._bucket, name, offset=start, length=length or 0, request_headers=headers
        )
        try:
            # Fewer bytes than announced are an IncompleteRead error, not a short answer.
            return response.read(), response.headers["etag"].strip('"')
        finally:
            response.close()
            response.release_conn()

    def _part(self, info: ObjectInfo, start: int, end: int) -> bytes:
        """Bytes [start, end) of exactly the object that `info` describes."""
        name = self._name(info.key)

        def attempt(_: int) -> bytes:
            try:
                return self._read(name, start, end - start, if_match=info.etag)[0]
            except S3Error as error:
                if error.code == "PreconditionFailed":
                    raise Conflict(
                        f"The object {info.key!r} was replaced while it was read; start again.",
                        reason="OBJECT_REPLACED",
                        key=info.key,
                    ) from error
                raise

        return self._tried("get", info.key, attempt)

    def _known(self, answer: Iterable[Object]) -> Iterator[ObjectInfo]:
        """What a listing holds of ours: folder markers and foreign names are not objects of it."""
        for found in answer:
            key = (found.object_name or "").removeprefix(self._prefix)
            if is_key(key):
                yield _info(key, found)

    def _ensure_bucket(self, create: bool) -> None:
        def attempt(_: int) -> None:
            if self._client.bucket_exists(self._bucket):
                return
            if not create:
                raise NotFound(
                    f"There is no bucket {self._bucket!r} at {self._settings.shown}; create it, "
                    "or correct the store's URL.",
                    reason="STORE_NOT_FOUND",
                    url=self.url,
                )
            try:
                self._client.make_bucket(self._bucket, self._settings.region)
            except S3Error as error:
                if error.code != "BucketAlreadyOwnedByYou":  # somebody was faster
                    raise

        try:
            self._tried("head", "", attempt)
        except FailedPrecondition as error:
            if error.metadata.get("code") == "InvalidBucketName":
                raise _invalid(self.url, "S3 does not allow this bucket name") from None
            raise
        except ValueError as error:
            raise _invalid(self.url, str(error)) from None


class _RangedObject(io.RawIOBase):
    """A seekable file over ranged reads."""

    def __init__(self, size: int, read: Callable[[int, int], bytes]) -> None:
        self._size = size
        self._read_range = read
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"cannot seek to {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        end = min(self._size, self._at + len(view))
        if end <= self._at:
            return 0
        data = self._read_range(self._at, end)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def _info(key: str, found: Object) -> ObjectInfo:
    # The client's types allow for folders and delete markers, which have none of these.
    assert found.size is not None
    assert found.etag is not None
    assert found.last_modified is not None
    return ObjectInfo(key, found.size, found.etag.strip('"'), found.last_modified.astimezone(UTC))


def _invalid(url: str, fault: str) -> InvalidArgument:
    return InvalidArgument(
        f"The store {url!r} cannot be opened: {fault.rstrip('.')}; use s3://bucket/prefix.",
        reason="STORE_URL_INVALID",
        url=url,
    )
