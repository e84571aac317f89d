"""Which failed requests are sent again, and when: the only place that decides it.

429 and "wait a few minutes" are waited out, with the wait written to the journal first; answers
that failed on the way (5xx, no connection, cut short) are tried again a few times; everything else
ends the operation, which can be resumed.
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
        *,
        not_before: datetime | None,
        pause_until: Callable[[datetime], None],
    ) -> None:
        """`not_before`: as a former attempt left it. `pause_until` makes a wait durable."""
        self._settings = settings
        self._waiter = waiter
        self._not_before = not_before
        self._pause_until = pause_until
        self._limited_in_a_row = 0
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
                    raise
                raise login_required(f"the {what}") from error
            except (TagloomError, QueryReturnedForbiddenException):
                raise
            except (InstaloaderException, AbortDownloadException, *_MALFORMED) as error:
                raise _translated(error, what) from error
            self._limited_in_a_row = 0
            return result

    def _keep_to_pause(self) -> None:
        if self._not_before is not None:
            self._waiter.pause(self._not_before)
            left_s = (self._not_before - datetime.now(UTC)).total_seconds()
            why = "Instagram limits the requests of this account or address"
            self._waiter.wait(left_s, "rate_limit", why)
            self._not_before = None

    def _cool_down(self, error: RateLimited) -> None:
        wait_s = error.retry_after_s
        if wait_s is None:
            doubled = self._settings.cooldown_s * 2**self._limited_in_a_row
            wait_s = max(min(doubled, _LONGEST_COOLDOWN_S), self._settings.cooldown_s)
        self._limited_in_a_row += 1
        until = now() + timedelta(seconds=wait_s)
        self._pause_until(until)
        self._waiter.pause(until)  # here too: what follows may end the operation
        if self._waited_s + wait_s > self._settings.max_wait_s:
            raise ResourceExhausted(
                f"Instagram limits the requests of this account or address; collect again after "
                f"{until:%Y-%m-%d %H:%M:%S} UTC: it goes on where it stopped, after "
                f"{self._waiter.done} posts.",
                reason="INSTAGRAM_RATE_LIMITED",
                retry_after_s=round(wait_s, 1),
                posts=self._waiter.done,
            ) from error
        self._waited_s += wait_s
        self._not_before = until


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
