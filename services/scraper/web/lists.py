"""A list of addresses: one a line, blank lines and those that begin with `#` passed over."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from tagloom.errors import FailedPrecondition, InvalidArgument

__all__ = ["list_hash", "read_list", "unique"]

_MAX_BYTES = 512 * 2**20


def read_list(path: Path) -> tuple[str, ...]:
    """The addresses in a file, each once, in order.

    Raises InvalidArgument (URL_LIST_INVALID), FailedPrecondition (URL_LIST_EMPTY).
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise _invalid(f"{path.name} cannot be read ({why}); check what it is.") from error
    if len(data) > _MAX_BYTES:
        raise _invalid(f"{path.name} has more than {_MAX_BYTES // 2**20} MiB; split the list.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _invalid(f"{path.name} is not UTF-8 text; write one address a line.") from error
    return unique(text.splitlines(), path.name)


def _invalid(message: str) -> InvalidArgument:
    return InvalidArgument(message, reason="URL_LIST_INVALID")


def unique(lines: Iterable[str], name: str) -> tuple[str, ...]:
    """The addresses of some lines, each once. Raises FailedPrecondition (URL_LIST_EMPTY)."""
    stripped = (line.strip() for line in lines)
    found = tuple(dict.fromkeys(line for line in stripped if line and not line.startswith("#")))
    if not found:
        raise FailedPrecondition(
            f"{name} lists no address; write one a line.", reason="URL_LIST_EMPTY"
        )
    return found


def list_hash(urls: Iterable[str]) -> str:
    """SHA-256 of the addresses, one a line."""
    digest = hashlib.sha256()
    for url in urls:
        digest.update(url.encode() + b"\n")
    return digest.hexdigest()
