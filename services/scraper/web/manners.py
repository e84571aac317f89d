"""What sites ask of programs: robots.txt (RFC 9309) and the X-Robots-Tag of an answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from protego import Protego

__all__ = ["MAX_ROBOTS_BYTES", "ROBOT", "Rules", "opted_out"]

ROBOT = "tagloom"
"""the name that robots.txt and X-Robots-Tag know us by"""
MAX_ROBOTS_BYTES = 500 * 1024
"""more is not read (RFC 9309, 2.5: at least so much)"""
_LONGEST_DELAY_S = 60.0
_OPT_OUTS = {"noai", "noimageai", "noindex", "noimageindex", "none"}
"""as img2dataset's defaults, and `none`, which stands for noindex and nofollow"""


@dataclass(frozen=True, slots=True)
class Rules:
    """What one robots.txt says."""

    robots: Protego | None
    """None: there is none, and everything may be fetched"""

    @classmethod
    def parse(cls, body: bytes) -> Rules:
        """From the file; whatever it holds that is no rule is passed over."""
        return cls(Protego.parse(body[:MAX_ROBOTS_BYTES].decode("utf-8", "replace")))

    def allow(self, url: str) -> bool:
        """Whether we may fetch it."""
        return self.robots is None or bool(self.robots.can_fetch(url, ROBOT))

    @property
    def delay_s(self) -> float:
        """Seconds that the site wants between two requests (Crawl-delay), at most a minute."""
        delay = None if self.robots is None else self.robots.crawl_delay(ROBOT)
        return min(max(float(delay or 0.0), 0.0), _LONGEST_DELAY_S)


def opted_out(headers: Iterable[str]) -> str:
    """The directive of X-Robots-Tag headers that keeps an image from us; empty without one.

    A header is `noai, noindex` for everybody, or `otherbot: noai` for one robot alone.
    """
    for header in headers:
        robot = ""
        for part in header.lower().split(","):
            name, colon, rest = part.partition(":")
            # `unavailable_after: date` is a directive of its own, and no robot's name.
            if colon and name.strip() != "unavailable_after":
                robot, part = name.strip(), rest
            if part.strip() in _OPT_OUTS and robot in ("", "*", ROBOT):
                return part.strip()
    return ""
