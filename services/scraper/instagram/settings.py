"""How Instagram is reached, and as whom: `TAGLOOM_INSTAGRAM_…`."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit

from tagloom.errors import InvalidArgument

__all__ = ["InstagramSettings", "Session"]

_PREFIX = "TAGLOOM_INSTAGRAM_"
_COOKIE = re.compile(r"[!-:<-~]+=(?! )[ -:<-~]*(?<! )")
"""printable ASCII without semicolons, nor spaces at an end"""


@dataclass(frozen=True, slots=True)
class Session:
    """Whose cookies go with the requests. `repr` shows none of them."""

    username: str
    cookies: Mapping[str, str] = field(repr=False)

    @classmethod
    def parse(cls, text: str, origin: str) -> Session:
        """From JSON: {"username": …, "cookies": {…}}, as Instaloader's `save_session` gives them.

        Raises InvalidArgument (INSTAGRAM_SESSION_INVALID), which names `origin` and repeats
        nothing of the text.
        """
        try:
            document = json.loads(text)
            username, cookies = document["username"], dict(document["cookies"])
            strings = [username, *cookies, *cookies.values()]
            if not username or not all(isinstance(value, str) for value in strings):
                raise ValueError
            if not cookies["sessionid"] or not cookies["csrftoken"]:
                raise ValueError
            # What a header cannot carry: whoever tries to send it quotes it in the error.
            if not all(_COOKIE.fullmatch(f"{name}={value}") for name, value in cookies.items()):
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            # `from None`: the cause of a JSON error quotes what it could not read.
            raise InvalidArgument(
                f'{origin} is no Instagram session: write JSON {{"username": …, "cookies": '
                '{"sessionid": …, "csrftoken": …, "ds_user_id": …}}.',
                reason="INSTAGRAM_SESSION_INVALID",
            ) from None
        return cls(username, cookies)


@dataclass(frozen=True, slots=True)
class InstagramSettings:
    """Each field but `session` is read from `TAGLOOM_INSTAGRAM_<FIELD>`."""

    url: str = ""
    """where requests go instead of to Instagram's and its image hosts (a test server, a gateway)"""
    pause_s: float = 1.7
    """mean of the random pause before each query, seconds, as Instaloader paces itself; at most
    15 s each"""
    timeout_s: float = 30.0
    """to connect, and between two pieces of an answer"""
    transfer_s: float = 120.0
    """for a whole answer"""
    cooldown_s: float = 666.0
    """first wait when Instagram says "too many requests" without saying how long; doubles each
    time in a row. 11 minutes and 6 s: the window that Instaloader counts requests in"""
    max_wait_s: float = 7200.0
    """all such waits of one operation together; beyond them it fails, and can be resumed"""
    retry_s: float = 5.0
    """first wait after an answer that failed otherwise (5xx, no connection); doubles"""
    attempts: int = 4
    """how often such a request is sent at most"""
    budget: float = 1.0
    """share of Instaloader's limits on requests that is used: 0.5 asks half as often"""
    lease_s: float = 30.0
    """without a sign of life from who uses the account, until another collection may"""
    session: Session | None = None

    def __post_init__(self) -> None:
        if self.url:
            split = urlsplit(self.url)
            if split.scheme not in ("http", "https") or not split.hostname or split.username:
                raise InvalidArgument(
                    f"{_PREFIX}URL is {self.url!r}; write http(s)://host:port, without "
                    "credentials, or leave it out.",
                    reason="SETTING_INVALID",
                    setting="instagram_url",
                )
        for spec in fields(self):
            value = getattr(self, spec.name)
            if isinstance(value, float) and not (value >= 0 and math.isfinite(value)):
                raise _invalid(spec.name, value, "0 or more")
        for name in ("lease_s", "budget"):
            if not getattr(self, name) > 0:
                raise _invalid(name, getattr(self, name), "above 0")
        if self.attempts < 1:
            raise _invalid("attempts", self.attempts, "1 or more")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> InstagramSettings:
        """Settings from `TAGLOOM_INSTAGRAM_…`; the session from the JSON file that
        `TAGLOOM_INSTAGRAM_SESSION` names, or from that variable itself if it holds the JSON.

        Raises InvalidArgument naming the variable.
        """
        values: dict[str, str | float | int | Session | None] = {}
        for spec in fields(cls):
            text = environment.get(_PREFIX + spec.name.upper(), "").strip()
            if not text:
                continue
            if spec.name == "session":
                values["session"] = _session(text)
            elif isinstance(spec.default, str):
                values[spec.name] = text.rstrip("/")
            else:
                try:
                    values[spec.name] = int(text) if spec.name == "attempts" else float(text)
                except ValueError as error:
                    raise _invalid(spec.name, text, "a number") from error
        return cls(**values)  # type: ignore[arg-type]  # checked field by field above


def _session(text: str) -> Session:
    variable = f"{_PREFIX}SESSION"
    if text.startswith("{"):
        return Session.parse(text, variable)
    try:
        content = Path(text).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise InvalidArgument(
            f"The file that {variable} names cannot be read ({why}); check the path.",
            reason="INSTAGRAM_SESSION_INVALID",
        ) from None
    return Session.parse(content, f"The file that {variable} names")


def _invalid(name: str, value: object, wanted: str) -> InvalidArgument:
    return InvalidArgument(
        f"{_PREFIX}{name.upper()} is {value!r}, but should be {wanted}.",
        reason="SETTING_INVALID",
        setting=f"instagram_{name}",
    )
