"""How addresses are fetched: `TAGLOOM_URLS_…`."""

from __future__ import annotations

import ipaddress
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.metadata import version

from tagloom.errors import InvalidArgument

__all__ = ["Network", "WebSettings"]

_PREFIX = "TAGLOOM_URLS_"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Each field is read from `TAGLOOM_URLS_<FIELD>`."""

    contact: str = ""
    """a mail or web address at which people reach whoever collects; part of the user agent"""
    parallel: int = 32
    """requests under way at once"""
    per_host: int = 4
    """of these, to one host"""
    delay_s: float = 0.0
    """between two requests to one host; robots.txt may ask for more (Crawl-delay)"""
    connect_s: float = 10.0
    """to connect"""
    timeout_s: float = 20.0
    """between two pieces of an answer"""
    transfer_s: float = 60.0
    """for a whole answer, its head included"""
    redirects: int = 5
    """followed from one address"""
    attempts: int = 3
    """how often an address is asked for at most, after a 5xx or no answer"""
    retry_s: float = 2.0
    """first wait after such a failure; doubles"""
    cooldown_s: float = 60.0
    """a host's first wait after a 429, or 503, that does not say how long; doubles"""
    max_wait_s: float = 900.0
    """longest wait that a host may ask for; if it asks for more, its addresses are left"""
    allow: tuple[Network, ...] = ()
    """networks that are reached although they are private, such as `127.0.0.0/8, 10.1.0.0/16`"""

    def __post_init__(self) -> None:
        for name in ("parallel", "per_host", "attempts"):
            if not 1 <= getattr(self, name) <= 1000:
                raise _invalid(name, getattr(self, name), "a whole number from 1 to 1000")
        if not 0 <= self.redirects <= 20:
            raise _invalid("redirects", self.redirects, "a whole number from 0 to 20")
        for spec in fields(self):
            value = getattr(self, spec.name)
            if isinstance(value, float) and not (value >= 0 and math.isfinite(value)):
                raise _invalid(spec.name, value, "0 or more")
        if any(c < " " or c > "~" or c in "()" for c in self.contact):
            raise _invalid("contact", self.contact, "plain text such as you@example.org")

    @property
    def user_agent(self) -> str:
        """Who asks, and how to reach them."""
        contact = self.contact or "no contact given"
        return f"Tagloom/{version('tagloom')} (collects images; {contact})"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> WebSettings:
        """Settings from `TAGLOOM_URLS_…`. Raises InvalidArgument (SETTING_INVALID)."""
        values: dict[str, object] = {}
        for spec in fields(cls):
            text = environment.get(_PREFIX + spec.name.upper(), "").strip()
            if not text:
                continue
            if spec.name == "allow":
                values["allow"] = _networks(text)
                continue
            if isinstance(spec.default, str):
                values[spec.name] = text
                continue
            whole = isinstance(spec.default, int)
            try:
                values[spec.name] = int(text) if whole else float(text)
            except ValueError as error:
                wanted = "a whole number" if whole else "a number"
                raise _invalid(spec.name, text, wanted) from error
        return cls(**values)  # type: ignore[arg-type]  # checked field by field above


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part) for part in text.replace(",", " ").split())
    except ValueError as error:
        raise _invalid("allow", text, "networks such as 127.0.0.0/8") from error


def _invalid(name: str, value: object, wanted: str) -> InvalidArgument:
    return InvalidArgument(
        f"{_PREFIX}{name.upper()} is {value!r}, but should be {wanted}.",
        reason="SETTING_INVALID",
        setting=f"urls_{name}",
    )
