"""A session for `TAGLOOM_INSTAGRAM_SESSION`: by logging in, or from a browser's cookies."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from http.cookiejar import LoadError, MozillaCookieJar
from pathlib import Path
from typing import Any

import requests

from services.scraper.instagram.settings import InstagramSettings, Session
from services.scraper.instagram.transport import InstagramAdapter
from services.scraper.traffic import TrafficLog
from tagloom.errors import FailedPrecondition, InvalidArgument, Unauthenticated, Unavailable

__all__ = ["from_cookies", "log_in", "to_json"]

_SITE = "https://www.instagram.com"
_KEPT = ("sessionid", "csrftoken", "ds_user_id", "mid", "ig_did", "rur")
_HEADERS = {
    "Origin": _SITE,
    "Referer": f"{_SITE}/",
    "X-Requested-With": "XMLHttpRequest",
    "X-Instagram-AJAX": "1",
    "x-ig-app-id": "936619743392459",
}
"""as Instaloader 4.16 sends them when it logs in"""


def log_in(
    username: str, password: str, ask_code: Callable[[], str], settings: InstagramSettings
) -> Session:
    """Logs in once, as the web page does. `ask_code` gives the code of a second factor.

    Raises Unauthenticated (INSTAGRAM_PASSWORD_WRONG, INSTAGRAM_CODE_WRONG), FailedPrecondition
    (INSTAGRAM_CHALLENGE, INSTAGRAM_LOGIN_REFUSED), Unavailable (INSTAGRAM_UNAVAILABLE), and what
    `refusals.classify` returns. Nothing repeats the password.
    """
    adapter = InstagramAdapter(settings, TrafficLog(None))
    session = requests.Session()
    session.mount("https://", adapter)
    session.headers.update(_HEADERS)
    try:
        session.get(f"{_SITE}/", timeout=settings.timeout_s)
        token = session.cookies.get_dict().get("csrftoken", "")
        session.headers["X-CSRFToken"] = token
        # The form that the page itself sends where it cannot encrypt (Instaloader does the same).
        secret = f"#PWD_INSTAGRAM_BROWSER:0:{int(time.time())}:{password}"
        answer = _post(
            session,
            "/api/v1/web/accounts/login/ajax/",
            {"enc_password": secret, "username": username},
            settings,
        )
        if answer.get("two_factor_required"):
            identifier = answer["two_factor_info"]["two_factor_identifier"]
            form = {
                "username": username,
                "verificationCode": ask_code().strip().replace(" ", ""),
                "identifier": identifier,
            }
            answer = _post(session, "/accounts/login/ajax/two_factor/", form, settings)
            if answer.get("status") != "ok":
                raise Unauthenticated(
                    "Instagram does not take the code; wait for a new one and log in again.",
                    reason="INSTAGRAM_CODE_WRONG",
                )
        else:
            _check(answer, username)
        cookies = session.cookies.get_dict()
    except requests.exceptions.RequestException as error:
        raise Unavailable(
            "Instagram did not answer; check the network and try again in some minutes.",
            reason="INSTAGRAM_UNAVAILABLE",
        ) from error
    finally:
        session.close()
        adapter.shutdown()
    return _session(username, cookies)


def from_cookies(username: str, path: Path) -> Session:
    """The session of a browser, from a `cookies.txt` (the format of Netscape, curl and wget).

    Raises InvalidArgument (COOKIES_INVALID).
    """
    jar = MozillaCookieJar()
    try:
        jar.load(str(path), ignore_discard=True, ignore_expires=True)
    except (LoadError, OSError, UnicodeDecodeError) as error:
        # `from None`: a LoadError quotes the line that it could not read.
        why = error.strerror if isinstance(error, OSError) and error.strerror else "not its format"
        raise InvalidArgument(
            f"{path} cannot be read as a cookies.txt ({why}); export Instagram's cookies in "
            "Netscape's format.",
            reason="COOKIES_INVALID",
        ) from None
    cookies = {c.name: c.value or "" for c in jar if c.domain.lstrip(".") == "instagram.com"}
    cookies |= {c.name: c.value or "" for c in jar if c.domain == "www.instagram.com"}
    if "sessionid" not in cookies or "csrftoken" not in cookies:
        raise InvalidArgument(
            f"{path} holds no session of Instagram; log in with that browser, then export again.",
            reason="COOKIES_INVALID",
        )
    return _session(username, cookies)


def to_json(session: Session) -> str:
    """What `TAGLOOM_INSTAGRAM_SESSION` takes."""
    document = {"username": session.username, "cookies": dict(session.cookies)}
    return json.dumps(document, indent=2) + "\n"


def _post(
    session: requests.Session, path: str, form: dict[str, str], settings: InstagramSettings
) -> dict[str, Any]:
    answer = session.post(
        _SITE + path, data=form, timeout=settings.timeout_s, allow_redirects=False
    )
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise FailedPrecondition(
            f"Instagram answered the login with something unknown ({answer.status_code}); log in "
            "with a browser, and take its cookies: tagloom scrape login --cookies FILE.",
            reason="INSTAGRAM_LOGIN_REFUSED",
        )
    return document


def _check(answer: dict[str, Any], username: str) -> None:
    if answer.get("checkpoint_url"):
        raise FailedPrecondition(
            "Instagram wants a person to confirm the login first; open Instagram in a browser, "
            "follow its instructions, then log in again.",
            reason="INSTAGRAM_CHALLENGE",
        )
    if answer.get("status") != "ok" or "authenticated" not in answer:
        raise FailedPrecondition(
            "Instagram refuses the login; wait some hours, or log in with a browser and take its "
            "cookies: tagloom scrape login --cookies FILE.",
            reason="INSTAGRAM_LOGIN_REFUSED",
        )
    if not answer["authenticated"]:
        raise Unauthenticated(
            "Instagram does not take the password; check it, and do not try often."
            if answer.get("user")
            else f"Instagram knows no account {username}; check its name.",
            reason="INSTAGRAM_PASSWORD_WRONG",
        )


def _session(username: str, cookies: dict[str, str]) -> Session:
    if not cookies.get("sessionid"):
        raise FailedPrecondition(
            "Instagram gave no session; log in with a browser and take its cookies: tagloom scrape "
            "login --cookies FILE.",
            reason="INSTAGRAM_LOGIN_REFUSED",
        )
    return Session(username.lower(), {k: v for k, v in cookies.items() if k in _KEPT and v})
