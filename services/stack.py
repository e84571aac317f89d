"""All services inside a program's own process: what commands without a `--target` start.

(`tagloom up` serves the same ones to others.) Services are known by entry points alone: those whose
extra is installed are served, the others left out with a log line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from tagloom.rpc.background import BackgroundServer
from tagloom.rpc.service import installed_services
from tagloom.rpc.settings import Settings

__all__ = ["in_background", "make_session"]


def in_background(settings: Settings, only: Iterable[str] = ()) -> BackgroundServer:
    """The stack as a context manager, for a program that wants it inside its own process."""
    return BackgroundServer(installed_services(only), settings)


def make_session(
    username: str,
    *,
    password: str = "",
    ask_code: Callable[[], str],
    cookies: Path | None = None,
    untried: bool = False,
) -> tuple[str, str]:
    """An Instagram session as JSON: from a browser's cookies if there are some, else by logging in.
    And why it is not known whether Instagram takes it; empty if it does.

    On this machine, not over the network: neither password nor session passes a service.
    `untried`: cookies are taken as they are, without any request.
    """
    from services.scraper.instagram import login, trial
    from services.scraper.instagram.settings import InstagramSettings

    settings = InstagramSettings.from_environment({**os.environ, "TAGLOOM_INSTAGRAM_SESSION": ""})
    if cookies is None:
        return login.to_json(login.log_in(username, password, ask_code, settings)), ""
    session = login.from_cookies(username, cookies)
    doubt = "nobody asked Instagram" if untried else trial.try_session(session, settings)
    return login.to_json(session), doubt
