"""Which failed requests are sent again, and when: the only place that decides it.

429, "wait a few minutes" and pages without posts are waited out, with the wait written to the
account first; answers that failed on the way (5xx, no connection, cut short) are tried again a few
times; everything else ends the operation, which can be resumed. After a refusal of the session the
account rests as well: whoever comes next waits before they ask.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import requests
from instaloader.exceptions import (
    AbortDownloadException,
    ConnectionException,
    InstaloaderException,
    LoginRequiredException,
    PrivateProfileNotFollowedException,
    ProfileNotExistsException,
    QueryReturnedForbiddenException,
    QueryReturnedNotFoundException,
)

from services.scraper.instagram.account import Account
from services.scraper.instagram.pace import Waiter
from services.scraper.instagram.refusals import (
    RateLimited,
    login_required,
    not_understood,
    session_rejected,
)
from services.scraper.instagram.settings import InstagramSettings
from tagloom.artifacts.base import now
from tagloom.errors import (
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    TagloomError,
    Unauthenticated,
    Unavailable,
)

__all__ = ["Persistence"]

_LONGEST_COOLDOWN_S = 3600.0

T = TypeVar("T")


class Persistence:
    """Runs steps that talk to Instagram, with the patience that `settings` allow."""

    def __init__(
        self,
        settings: InstagramSettings,
        waiter: Waiter,
        account: Account,
    ) -> None:
        self._settings = settings
        self._waiter = waiter
        self._account = account
        self._waited_s = 0.0

    def run(self, step: Callable[[], T], what: str) -> T:
        """The result of `step`, sent again where that makes sense.

        what: names the thing asked for, in errors. `step` must be able to run twice.

        Raises ResourceExhausted (INSTAGRAM_RATE_LIMITED, with `retry_after_s`), Unavailable
        (INSTAGRAM_UNAVAILABLE), NotFound (INSTAGRAM_NOT_FOUND), PermissionDenied, Unauthenticated,
        FailedPrecondition (INSTAGRAM_CHALLENGE, INSTAGRAM_RESPONSE_UNKNOWN), and what Instaloader
        raises about a single image (403).
        """
        failures = 0
        while True:
            self._keep_to_pause()
            try:
                result = step()
            except RateLimited as error:
                self._cool_down(error)
                continue
            except (QueryReturnedNotFoundException, ProfileNotExistsException) as error:
                raise NotFound(
                    f"There is no {what} on Instagram, or it is not public; check the spelling.",
                    reason="INSTAGRAM_NOT_FOUND",
                    resource=what,
                ) from error
            except (ConnectionException, requests.exceptions.RequestException) as error:
                failures += 1
                if failures >= self._settings.attempts:
                    raise _unavailable(what, failures) from error
                wait_s = self._settings.retry_s * 2 ** (failures - 1)
                self._waiter.wait(wait_s, "retry", f"Instagram did not answer for {what}")
                continue
            except Unauthenticated as error:
                if error.reason != "INSTAGRAM_LOGIN_REQUIRED":
                    self._refused(error)
                    raise
                raise login_required(f"the {what}") from error
            except (TagloomError, QueryReturnedForbiddenException) as error:
                if isinstance(error, TagloomError):
                    self._refused(error)
                raise
            except (InstaloaderException, AbortDownloadException, *_MALFORMED) as error:
                raise _translated(error, what) from error
            self._account.answered()
            return result

    def _keep_to_pause(self) -> None:
        self._account.hold()
        while (resting := self._account.not_before) is not None:
            until, reason = resting
            left_s = (until - datetime.now(UTC)).total_seconds()
            if self._waited_s + left_s > self._settings.max_wait_s:
                raise self._too_long(until, left_s, reason)
            self._waited_s += left_s
            self._waiter.pause(until)
            self._waiter.wait(left_s, "rate_limit", _WHY.get(reason, _WHY_REFUSED), reason)

    def _refused(self, error: TagloomError) -> None:
        """Instagram does not want this session, or not now: nobody asks again at once."""
        if error.reason in _REFUSALS:
            until = now() + timedelta(seconds=self._settings.cooldown_s)
            self._account.rest(until, error.reason, limited=False)

    def _cool_down(self, error: RateLimited) -> None:
        wait_s = error.retry_after_s
        if wait_s is None:
            doubled = self._settings.cooldown_s * 2.0 ** min(self._account.limited_in_a_row, 20)
            wait_s = max(min(doubled, _LONGEST_COOLDOWN_S), self._settings.cooldown_s)
        until = now() + timedelta(seconds=wait_s)
        self._account.rest(until, error.reason, limited=True)
        self._waiter.pause(until)  # here too: what follows may end the operation
        if self._waited_s + wait_s > self._settings.max_wait_s:
            raise self._too_long(until, wait_s, error.reason) from error

    def _too_long(self, until: datetime, wait_s: float, reason: str) -> ResourceExhausted:
        return ResourceExhausted(
            f"{_WHY.get(reason, _WHY_REFUSED)}; collect again after "
            f"{until:%Y-%m-%d %H:%M:%S} UTC: it goes on where it stopped, after "
            f"{self._waiter.done} posts.",
            reason="INSTAGRAM_RATE_LIMITED" if reason in _WHY else "INSTAGRAM_COOLING_DOWN",
            retry_after_s=round(wait_s, 1),
            posts=self._waiter.done,
            why=reason,
        )


_REFUSALS = ("INSTAGRAM_SESSION_REJECTED", "INSTAGRAM_CHALLENGE", "INSTAGRAM_FORBIDDEN")
_WHY = {
    "INSTAGRAM_RATE_LIMITED": "Instagram limits the requests of this account or address",
    "INSTAGRAM_EMPTY_PAGE": "Instagram shows a page without posts, as it does to who asks too much",
}
_WHY_REFUSED = "Instagram refused this account or address a moment ago, and is left alone"

_MALFORMED = (KeyError, TypeError, IndexError, AttributeError, AssertionError, ValueError)
"""What Instaloader's code runs into when an answer has another form than it knows."""


def _translated(error: Exception, what: str) -> TagloomError:
    match error:
        case LoginRequiredException():
            return login_required(f"the {what}")
        case PrivateProfileNotFollowedException():
            return PermissionDenied(
                f"The {what} is private, and the account of the session does not follow it; "
                "choose a public one.",
                reason="INSTAGRAM_PROFILE_PRIVATE",
                resource=what,
            )
        case AbortDownloadException():
            return session_rejected()
    return not_understood(error)


def _unavailable(what: str, failures: int) -> Unavailable:
    return Unavailable(
        f"Instagram did not answer for {what} in {failures} attempts; check the network and "
        "collect again: it goes on where it stopped.",
        reason="INSTAGRAM_UNAVAILABLE",
        retry_after_s=300,
    )
