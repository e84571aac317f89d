"""Whether Instagram takes a session: asked once, with the request that Instaloader has for it."""

from __future__ import annotations

import dataclasses
from datetime import datetime

import requests
from instaloader.exceptions import (
    AbortDownloadException,
    InstaloaderException,
    LoginRequiredException,
)

from services.scraper.instagram.context import InstagramContext
from services.scraper.instagram.pace import Waiter
from services.scraper.instagram.refusals import RateLimited, session_rejected
from services.scraper.instagram.settings import InstagramSettings, Session
from services.scraper.traffic import TrafficLog
from tagloom.errors import InvalidArgument
from tagloom.progress import silent

__all__ = ["try_session"]

_WHO_AM_I = "d6f4427fbe92d846298cf93df0b937d3"
"""the query of `Instaloader.test_login` (4.16)"""
_MALFORMED = (KeyError, TypeError, ValueError)


def try_session(session: Session, settings: InstagramSettings) -> str:
    """Empty if Instagram says that the session is its account's; else why that is not known.

    One request, never repeated. Raises Unauthenticated (INSTAGRAM_SESSION_REJECTED),
    FailedPrecondition (INSTAGRAM_CHALLENGE), PermissionDenied (INSTAGRAM_FORBIDDEN),
    InvalidArgument (COOKIES_INVALID: another account's).
    """
    asking = dataclasses.replace(settings, session=session, pause_s=0.0)
    traffic = TrafficLog(None)
    try:
        with InstagramContext(asking, Waiter(silent, traffic), traffic, _NoHistory()) as context:
            answer = context.graphql_query(_WHO_AM_I, {})
        user = answer["data"]["user"]
        found = None if user is None else str(user["username"])
    except RateLimited:
        return "Instagram wants a pause of this machine or account"
    except (AbortDownloadException, LoginRequiredException):
        # `from None`, here and below: causes may quote what was sent.
        raise session_rejected() from None
    except (InstaloaderException, requests.exceptions.RequestException, *_MALFORMED):
        return "Instagram gave no answer that tells"
    if found is None:
        raise session_rejected()
    if found.lower() != session.username.lower():
        raise InvalidArgument(
            f"The session is that of {found}, not of {session.username}; give --username {found}, "
            "or log in with the browser as the other.",
            reason="COOKIES_INVALID",
        )
    return ""


class _NoHistory:
    """Of an account that was not asked for anything yet."""

    generation = 0

    @property
    def requests(self) -> dict[str, tuple[datetime, ...]]:
        return {}

    def hold(self) -> None:
        """It is nobody else's."""

    def note_request(self, kind: str) -> None:
        """There is no store to note it in."""
