"""Which keys a store accepts: one rule for every implementation, so that moving never surprises.

The rule is the intersection of what a POSIX file system and the S3 servers in use take as it is:
no key needs an escape, and a local store is a folder that any tool can read.
"""

from __future__ import annotations

from tagloom.store.interface import InvalidKey

__all__ = ["MAX_KEY_BYTES", "MAX_SEGMENT_BYTES", "check_key", "is_key", "is_segment"]

MAX_KEY_BYTES = 1024
"""S3's limit, in UTF-8 bytes; an S3 store counts its own prefix too."""
MAX_SEGMENT_BYTES = 255
"""ext4, XFS and MinIO refuse longer names."""


def _fault(segment: str) -> str | None:
    """What is wrong with one part of a key; None if nothing is."""
    if not segment:
        return "has an empty part (a slash too many)"
    if segment[0] == ".":
        # Covers "." and "..", the store's own hidden folder, and .DS_Store and its kind.
        return "has a part that starts with a dot"
    if "\\" in segment:
        return "has a backslash"  # MinIO reads it as a slash when it looks for ".."
    if any(ch < " " or ch == "\x7f" for ch in segment):
        return "has a control character"
    try:
        size = len(segment.encode())
    except UnicodeEncodeError:
        return "has characters that are not valid Unicode"
    if size > MAX_SEGMENT_BYTES:
        return f"has a part of {size} bytes (at most {MAX_SEGMENT_BYTES})"
    return None


def is_segment(name: str) -> bool:
    """Whether `name`, without slashes, may be a part of a key."""
    return "/" not in name and _fault(name) is None


def is_key(key: str) -> bool:
    """Whether `check_key` would accept the key."""
    try:
        check_key(key)
    except InvalidKey:
        return False
    return True


def check_key(key: str, *, prefix_bytes: int = 0) -> tuple[str, ...]:
    """The parts of a valid key.

    Raises InvalidKey (INVALID_KEY) for an empty or absolute key, one with an empty part, a part
    that starts with a dot, a backslash, a control character or a lone surrogate, a part longer
    than 255 bytes, or more than 1024 bytes in all, `prefix_bytes` included.
    """
    parts = tuple(key.split("/"))
    fault = "is empty" if not key else next(filter(None, map(_fault, parts)), None)
    if fault is None and len(key.encode()) + prefix_bytes > MAX_KEY_BYTES:
        fault = f"is longer than {MAX_KEY_BYTES - prefix_bytes} bytes"
    if fault is not None:
        shown = ascii(key if len(key) <= 80 else key[:77] + "...")
        raise InvalidKey(
            f"The key {shown} {fault}; use a relative path such as 'collections/cats/items.jsonl'.",
            reason="INVALID_KEY",
            key=shown,
        )
    return parts
