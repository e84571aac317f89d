"""The ways in which Instagram says no, told apart: which are waited out, which need a person.

What is known of them is from Instaloader 4.16 (`instaloadercontext.py`: which answers it meets and
how they look) and from its issue tracker (the "401 Please wait a few minutes" of a rate limit).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tagloom.errors import (
    FailedPrecondition,
    PermissionDenied,
    ResourceExhausted,
    TagloomError,
    Unauthenticated,
)

__all__ = [
    "EmptyPage",
    "RateLimited",
    "classify",
    "login_required",
    "not_understood",
    "session_rejected",
]

_CHALLENGES = {"feedback_required", "checkpoint_required", "challenge_required"}
_LONGEST_RETRY_AFTER_S = 86400.0


class RateLimited(ResourceExhausted):
    """Instagram wants a pause (INSTAGRAM_RATE_LIMITED)."""

    def __init__(self, retry_after_s: float | None = None) -> None:
        """`retry_after_s`: how long, if Instagram said so."""
        metadata = {} if retry_after_s is None else {"retry_after_s": round(retry_after_s, 1)}
        super().__init__(self._sentence, reason=self._reason, **metadata)
        self.retry_after_s = retry_after_s

    _reason = "INSTAGRAM_RATE_LIMITED"
    _sentence = "Instagram answers 'too many requests'; wait before asking again."


class EmptyPage(RateLimited):
    """A page without posts where there should be some (INSTAGRAM_EMPTY_PAGE)."""

    _reason = "INSTAGRAM_EMPTY_PAGE"
    _sentence = "Instagram shows a page without posts; wait before asking again."


def classify(
    status: int, headers: Mapping[str, str], body: bytes, *, logged_in: bool
) -> TagloomError | None:
    """What an answer of one of Instagram's own hosts says about us; None: nothing (also 404, 5xx).

    status, headers, body: of the HTTP response, redirects not followed.
    """
    if status == 429:
        return RateLimited(_retry_after(headers))
    if 300 <= status < 400:
        location = headers.get("location", "")
        if "/challenge" in location or "/accounts/suspended" in location:
            return _challenge("challenge_required")
        if "/accounts/login" in location:
            return session_rejected() if logged_in else login_required()
        return None
    if status < 400 and not body.lstrip().startswith(b"{"):
        return None
    message = _message(body)
    if message in _CHALLENGES:
        return _challenge(message)
    if "wait a few minutes" in message.lower():
        return RateLimited(_retry_after(headers))
    if message == "login_required" or status == 401:
        return session_rejected() if logged_in else login_required()
    if status == 403:
        return PermissionDenied(
            "Instagram refuses the request (403); look at Instagram in a browser with the same "
            "account and network, and wait some hours before trying again.",
            reason="INSTAGRAM_FORBIDDEN",
        )
    return None


def login_required(what: str = "what was asked for") -> Unauthenticated:
    """The error for what Instagram shows to nobody who is not logged in."""
    return Unauthenticated(
        f"Instagram shows {what} only to somebody who is logged in; give a session in "
        "TAGLOOM_INSTAGRAM_SESSION, or collect from a folder.",
        reason="INSTAGRAM_LOGIN_REQUIRED",
    )


def session_rejected() -> Unauthenticated:
    """The error for a session that Instagram takes no longer."""
    return Unauthenticated(
        "Instagram does not accept the session any more; log in with a browser, wait some time, "
        "and make a new session for TAGLOOM_INSTAGRAM_SESSION.",
        reason="INSTAGRAM_SESSION_REJECTED",
    )


def not_understood(error: BaseException) -> FailedPrecondition:
    """The error for an answer in a form that Instaloader does not know."""
    return FailedPrecondition(
        "Instagram answered in a form that this version of Instaloader does not understand "
        f"({type(error).__name__}); look for a newer Tagloom, or collect from a folder.",
        reason="INSTAGRAM_RESPONSE_UNKNOWN",
    )


def _challenge(message: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"Instagram wants a person to confirm something first ({message}); open Instagram in a "
        "browser with the same account, follow its instructions, then collect again.",
        reason="INSTAGRAM_CHALLENGE",
        challenge=message,
    )


def _message(body: bytes) -> str:
    """The `message` of a JSON answer that says `fail`; empty for any other."""
    try:
        document = json.loads(body)
        if document.get("status") != "fail" and "require_login" not in document:
            return ""
        return str(document.get("message", ""))
    except (ValueError, AttributeError):
        return ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3), if there is a sensible one."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return seconds if 0 <= seconds <= _LONGEST_RETRY_AFTER_S else None
