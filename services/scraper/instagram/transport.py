"""Every byte to and from Instagram passes here: only its hosts, bounded, counted, and judged.

Instaloader sends through `requests`; this is the adapter that its sessions are given. A refusal
(429, 401, 403, a challenge, a redirect to the login page) is raised right here as one of Tagloom's
errors, which Instaloader lets pass: so it can never retry one by itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter

from services.scraper.instagram.refusals import classify
from services.scraper.instagram.settings import InstagramSettings
from services.scraper.traffic import TrafficLog
from tagloom.errors import PermissionDenied, TagloomError

__all__ = ["HostNotAllowed", "InstagramAdapter", "is_image_host"]

_IMAGE_DOMAINS = (".cdninstagram.com", ".fbcdn.net")
_MAX_ANSWER_BYTES = 32 * 2**20
_CHUNK = 65536


class HostNotAllowed(PermissionDenied):
    """An address that is not Instagram's."""


def is_image_host(host: str) -> bool:
    """Whether Instagram's images come from there."""
    return host.endswith(_IMAGE_DOMAINS)


class InstagramAdapter(HTTPAdapter):
    """Sends requests to Instagram's hosts over https, or all of them to `settings.url` instead.

    The routed request still names the host it was meant for, in its Host header; the response
    still bears the address that was asked for. Raises HostNotAllowed (INSTAGRAM_HOST_NOT_ALLOWED)
    and what `refusals.classify` returns.
    """

    def __init__(self, settings: InstagramSettings, traffic: TrafficLog) -> None:
        self._url = settings.url
        self._transfer_s = settings.transfer_s
        self._traffic = traffic
        self.logged_in = settings.session is not None
        super().__init__()

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """As `HTTPAdapter.send`."""
        address = request.url or ""
        kind = self._kind(address)
        if self._url:
            routed, proxies = self._routed(request, address), None
        else:
            routed = request
        try:
            response = super().send(routed, True, timeout, verify, cert, proxies)
            response.url, response.request = address, request
            if kind != "image":
                _read(response, self._transfer_s)
        except requests.exceptions.RequestException:
            self._traffic.request(kind, "unreachable")
            raise
        refusal = self._refusal(kind, response)
        self._traffic.request(kind, _outcome(response, refusal.reason if refusal else ""))
        if refusal is not None:
            response.close()
            raise refusal
        return response

    def close(self) -> None:
        """Nothing: Instaloader closes a session for each image; connections are kept for the
        next. `shutdown` closes them."""

    def shutdown(self) -> None:
        """Close all connections."""
        super().close()

    def _kind(self, address: str) -> str:
        """What sort of request it is: page, query, mobile, api or image."""
        split = urlsplit(address)
        host = split.hostname or ""
        if split.scheme == "https" and split.port in (None, 443):
            if is_image_host(host):
                return "image"
            if host == "i.instagram.com":
                return "mobile"
            if host == "www.instagram.com":
                if "graphql" in split.path:
                    return "query"
                return "api" if split.path.startswith(("/api/", "/web/")) else "page"
        self._traffic.request("other", "not_allowed")
        raise HostNotAllowed(
            f"The address lies at {host or 'no host'}, which is not one of Instagram's; it was "
            "not opened.",
            reason="INSTAGRAM_HOST_NOT_ALLOWED",
            host=host,
        )

    def _refusal(self, kind: str, response: requests.Response) -> TagloomError | None:
        status, headers = response.status_code, response.headers
        if kind != "image":
            return classify(status, headers, response.content, logged_in=self.logged_in)
        # Image hosts know no accounts: a 403 is about that image, and left to who asked.
        return classify(status, headers, b"", logged_in=False) if status == 429 else None

    def _routed(self, request: requests.PreparedRequest, address: str) -> requests.PreparedRequest:
        original, target = urlsplit(address), urlsplit(self._url)
        routed = request.copy()
        routed.url = urlunsplit(
            (target.scheme, target.netloc, target.path + original.path, original.query, "")
        )
        routed.headers["Host"] = original.hostname or ""
        return routed


def _read(response: requests.Response, limit_s: float) -> None:
    """Read the body now, up to a number of bytes and seconds: a server that drips for ever, or
    sends without end, is a failed request."""
    end = time.monotonic() + limit_s
    body = bytearray()
    for chunk in response.iter_content(_CHUNK):
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES or time.monotonic() > end:
            response.close()
            raise requests.exceptions.ConnectionError(
                f"the answer is longer than {_MAX_ANSWER_BYTES} bytes or {limit_s:g} s"
            )
    # What `Response.content` does after reading, which knows no limits.
    response._content = bytes(body)
    response._content_consumed = True  # type: ignore[attr-defined]


def _outcome(response: requests.Response, refusal: str) -> str:
    if refusal:
        return refusal.removeprefix("INSTAGRAM_").lower()
    status = response.status_code
    if status < 300:
        return "ok"
    if status < 400:
        return "redirect"
    return {403: "forbidden", 404: "not_found"}.get(
        status, "client_error" if status < 500 else "server_error"
    )
