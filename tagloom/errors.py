"""Every error Tagloom raises on purpose, free of any transport.

    TagloomError
     ├─ InvalidArgument      the request itself is wrong, whatever the state
     ├─ NotFound             the named thing does not exist
     ├─ AlreadyExists        the named thing exists and differs from what was asked
     ├─ FailedPrecondition   right request, wrong moment: something must be done first
     ├─ Conflict             somebody else changed it meanwhile, or owns it now
     ├─ ResourceExhausted    a quota, a disk or a rate limit is used up
     ├─ Unavailable          a dependency does not answer; trying again may help
     ├─ PermissionDenied     known caller or path, not allowed
     ├─ Unauthenticated      no or wrong credentials
     ├─ DataLoss             stored bytes are damaged
     └─ Cancelled            somebody asked to stop

A message is one sentence that says what is wrong and what to do; `reason` is the stable,
machine-readable name (UPPER_SNAKE_CASE, at most 63 characters, AIP-193) and `metadata` holds the
values that vary. `tagloom.rpc.errors` turns them into `google.rpc.Status` and back.
"""

from __future__ import annotations

import re

__all__ = [
    "AlreadyExists",
    "Cancelled",
    "Conflict",
    "DataLoss",
    "FailedPrecondition",
    "InvalidArgument",
    "NotFound",
    "PermissionDenied",
    "ResourceExhausted",
    "TagloomError",
    "Unauthenticated",
    "Unavailable",
]

_REASON = re.compile(r"[A-Z][A-Z0-9_]{1,61}[A-Z0-9]")


class TagloomError(Exception):
    """Base class: a sentence for people, a reason and metadata for programs."""

    def __init__(self, message: str, *, reason: str, **metadata: object) -> None:
        if not _REASON.fullmatch(reason):
            raise ValueError(f"reason {reason!r} is not UPPER_SNAKE_CASE of 3 to 63 characters")
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata = {key: str(value) for key, value in metadata.items()}

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders (spawn pool); keyword-only arguments need help there.
        return _rebuild, (type(self), self.message, self.reason, self.metadata)


def _rebuild(
    cls: type[TagloomError], message: str, reason: str, metadata: dict[str, str]
) -> TagloomError:
    return cls(message, reason=reason, **metadata)


class InvalidArgument(TagloomError):
    """The request is wrong whatever the state of the system."""


class NotFound(TagloomError):
    """The named thing does not exist."""


class AlreadyExists(TagloomError):
    """The named thing exists and is not what was asked for."""


class FailedPrecondition(TagloomError):
    """Something must be done first; trying again unchanged does not help."""


class Conflict(TagloomError):
    """Another writer changed the thing or owns it now (a lost compare-and-swap, a lost lease)."""


class ResourceExhausted(TagloomError):
    """A quota, a disk or a rate limit is used up."""


class Unavailable(TagloomError):
    """A dependency does not answer; the same call may succeed later."""


class PermissionDenied(TagloomError):
    """The caller or the path is known, and not allowed."""


class Unauthenticated(TagloomError):
    """Credentials are missing or wrong."""


class DataLoss(TagloomError):
    """Stored bytes are damaged or not what their name (a hash) says."""


class Cancelled(TagloomError):
    """Somebody asked to stop; what was durable stays."""
