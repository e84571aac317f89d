"""Instaloader's context with our adapter in its sessions, our pauses, and no output of its own."""

from __future__ import annotations

import logging
import random
from typing import Any

import requests
from instaloader import InstaloaderContext

from services.scraper.instagram.pace import History, Pace, Waiter
from services.scraper.instagram.settings import InstagramSettings
from services.scraper.instagram.transport import InstagramAdapter
from services.scraper.traffic import TrafficLog

__all__ = ["InstagramContext"]

_log = logging.getLogger(__name__)


class InstagramContext(InstaloaderContext):
    """What Instaloader's structures (Hashtag, Profile, Post) ask Instagram through.

    It sends each request once (`max_connection_attempts=1`): whether and when to repeat one is
    decided by who asked. Use as a context manager.
    """

    def __init__(
        self, settings: InstagramSettings, waiter: Waiter, traffic: TrafficLog, history: History
    ) -> None:
        # Before super().__init__, which opens the first session.
        self._adapter = InstagramAdapter(settings, traffic)
        self._waiter = waiter
        self._pause_s = settings.pause_s
        super().__init__(
            quiet=True,
            max_connection_attempts=1,
            request_timeout=settings.timeout_s,
            rate_controller=lambda context: Pace(context, waiter, history, settings.budget),
            # Off: it costs a query more for each post, for images above 1080 pixels.
            iphone_support=False,
        )
        if settings.session is not None:
            self.load_session(settings.session.username, dict(settings.session.cookies))

    def __enter__(self) -> InstagramContext:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()  # type: ignore[no-untyped-call]  # Instaloader leaves it untyped
        self._adapter.shutdown()

    def get_anonymous_session(self) -> requests.Session:
        """A session without cookies, through our adapter."""
        return self._through_adapter(super().get_anonymous_session())

    def load_session(self, username: str, sessiondata: dict[str, str]) -> None:
        """The session of an account, through our adapter."""
        super().load_session(username, sessiondata)  # type: ignore[no-untyped-call]  # as close
        self._through_adapter(self._session)

    def get_json(
        self,
        path: str,
        params: dict[str, Any],
        host: str = "www.instagram.com",
        session: requests.Session | None = None,
        response_headers: dict[str, Any] | None = None,
        use_post: bool = False,
    ) -> dict[str, Any]:
        """As Instaloader's; it copies sessions for some queries, and copies have no adapter."""
        if session is not None:
            self._through_adapter(session)
        return super().get_json(path, params, host, session, response_headers, use_post)

    def do_sleep(self) -> None:
        """The random pause before a query, distributed as Instaloader's."""
        if self._pause_s:
            seconds = min(random.expovariate(1 / self._pause_s), 15.0)
            self._waiter.wait(seconds, "pause", "pausing between two queries")

    def log(self, *msg: object, sep: str = "", end: str = "\n", flush: bool = False) -> None:
        """To the log, not to standard output."""
        _log.debug("%s", sep.join(map(str, msg)).strip())

    def error(self, msg: object, repeat_at_end: bool = True) -> None:
        """To the log, not to standard error."""
        _log.info("%s", msg)

    def _through_adapter(self, session: requests.Session) -> requests.Session:
        session.mount("https://", self._adapter)
        session.mount("http://", self._adapter)
        return session
