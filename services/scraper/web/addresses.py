"""Which addresses may be fetched: the web's own, and no machine that is not on it.

A host's name is resolved once a while, what it resolves to is judged, and the connection is made
to that very address (`connections.py`): a name that means another machine a moment later (DNS
rebinding) gains nothing. The same happens at every redirect.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urljoin, urlsplit, urlunsplit

from services.scraper.web.settings import Network

__all__ = ["BadAddress", "Resolver", "Target", "parse", "redirected"]

_REMEMBERED_S = 300.0
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")
"""all of IPv6's open internet (RFC 4291, IANA); what Python calls global is more than that: the old
site-local addresses, IPv4-compatible ones such as ::127.0.0.1"""
_PORTS = {"http": 80, "https": 443}
_SAFE = "/?:@!$&'()*+,;=-._~%[]"


class BadAddress(Exception):
    """An address that is not fetched. `reason` for the item, the message a sentence about it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Target:
    """An address, taken apart."""

    url: str
    scheme: str
    host: str
    """lower-case, IDNA-encoded, without brackets"""
    port: int
    path: str
    """with the query"""

    @property
    def origin(self) -> str:
        """What one robots.txt speaks for (RFC 9309, 2.3)."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """For the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def parse(url: str) -> Target:
    """The parts of an http(s) address. Raises BadAddress (URL_INVALID)."""
    if len(url) > 4096 or any(c <= " " or c == "\x7f" for c in url):
        raise BadAddress("URL_INVALID", "The address is too long, or has spaces in it.")
    try:
        split = urlsplit(url)
        host, port = _host(split), split.port
    except (ValueError, UnicodeError) as error:
        raise BadAddress("URL_INVALID", f"It is no address ({error}).") from error
    if split.scheme not in _PORTS or not host:
        raise BadAddress("URL_INVALID", "It does not begin with http:// or https:// and a host.")
    if split.username is not None or split.password is not None:
        raise BadAddress("URL_INVALID", "It holds a name or a password; such are not sent.")
    path = quote(urlunsplit(("", "", split.path or "/", split.query, "")), safe=_SAFE)
    target = Target("", split.scheme, host, port or _PORTS[split.scheme], path)
    return Target(target.origin + path, *(target.scheme, target.host, target.port, path))


def redirected(target: Target, location: str) -> Target:
    """Where a redirect from `target` leads. Raises BadAddress."""
    return parse(urljoin(target.url, location.strip().replace(" ", "%20")))


def _host(split: SplitResult) -> str:
    host = split.hostname or ""
    return host if host.isascii() else host.encode("idna").decode()


class Resolver:
    """Names to addresses that may be reached. Safe to share by threads."""

    def __init__(self, allow: tuple[Network, ...] = ()) -> None:
        self._allow = allow
        self._known: dict[tuple[str, int], tuple[float, str]] = {}
        self._lock = threading.Lock()

    def resolve(self, target: Target) -> str:
        """The address to connect to. Raises BadAddress (HOST_NOT_FOUND, ADDRESS_NOT_ALLOWED)."""
        key = (target.host, target.port)
        with self._lock:
            until, address = self._known.get(key, (0.0, ""))
        if until > time.monotonic():
            return address
        try:
            found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or "it is not a name"
            raise BadAddress("HOST_NOT_FOUND", f"{target.host} has no address ({why}).") from error
        addresses = [str(sockaddr[0]) for *_, sockaddr in found]
        allowed = [address for address in addresses if self._may_reach(address)]
        if not allowed:
            where = "" if target.host == addresses[0] else f"at {addresses[0]}, which is "
            raise BadAddress(
                "ADDRESS_NOT_ALLOWED",
                f"{target.host} is {where}not on the open internet; TAGLOOM_URLS_ALLOW can name "
                "its network.",
            )
        # IPv4 first: a machine without IPv6 gets IPv6 addresses all the same.
        address = min(allowed, key=lambda a: ":" in a)
        with self._lock:
            self._known[key] = (time.monotonic() + _REMEMBERED_S, address)
        return address

    def _may_reach(self, text: str) -> bool:
        address = ipaddress.ip_address(text.partition("%")[0])
        if any(address in network for network in self._allow):
            return True
        if isinstance(address, ipaddress.IPv6Address):
            # IPv6 addresses that stand for an IPv4 one are as good as that one.
            if inner := address.ipv4_mapped or address.sixtofour:
                return self._may_reach(str(inner))
            if address.teredo:
                return all(self._may_reach(str(part)) for part in address.teredo)
            if address in _NAT64:
                return self._may_reach(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))
            if address not in _UNICAST:
                return False
        return address.is_global and not address.is_multicast
