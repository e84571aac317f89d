"""What a failed call to Kubeflow Pipelines means, in one sentence."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import kfp
import urllib3

from tagloom.errors import (
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    TagloomError,
    Unauthenticated,
    Unavailable,
)

if TYPE_CHECKING:
    from pipelines.kubeflow.server import Address

__all__ = ["refusal", "unreachable"]

_OTHER_VERSION = re.compile(
    r"unknown field|not supported yet|Not Implemented|Method Not Allowed|unknown template format",
    re.IGNORECASE,
)
_NO_NAMESPACE = re.compile(r'namespaces? "?([a-z0-9-]+)"? (?:is )?not found', re.IGNORECASE)


def refusal(error: Any, address: Address, doing: str) -> TagloomError:
    """For an answer that is no success; `error` is the SDK's ApiException.

    doing: what was tried, as in "to start a run".
    """
    url, said = address.url.rstrip("/"), _said(error)
    if error.status in (0, None):
        return _untrusted(url, str(error.reason))
    if error.status == 401:
        sent = "refused the token" if address.token or address.token_file else "wants a token"
        return Unauthenticated(
            f"{url} {sent}; give a valid one with --kubeflow-token-file or TAGLOOM_KUBEFLOW_TOKEN.",
            reason="KUBEFLOW_TOKEN_REFUSED",
            url=url,
        )
    missing = _NO_NAMESPACE.search(said)
    if missing:
        return NotFound(
            f"There is no namespace {missing[1]} in the cluster behind {url}; create the profile, "
            "or name another with --kubeflow-namespace.",
            reason="KUBEFLOW_NAMESPACE_NOT_FOUND",
            namespace=missing[1],
        )
    if error.status == 403:
        where = f" in the namespace {address.namespace}" if address.namespace else ""
        return PermissionDenied(
            f"{url} does not allow you {doing}{where}; ask for the role kubeflow-edit there"
            f"{f' ({said})' if said else ''}.",
            reason="KUBEFLOW_FORBIDDEN",
            namespace=address.namespace,
        )
    if _OTHER_VERSION.search(said) or (error.status in (404, 405, 501) and not _is_json(error)):
        detail = said if _is_json(error) else f"HTTP {error.status}"
        return FailedPrecondition(
            f"{url} is not a Kubeflow Pipelines that this client (SDK {kfp.__version__}) can talk "
            f"to: it failed {doing} ({detail}); use a server of the same minor version.",
            reason="KUBEFLOW_VERSION",
            url=url,
        )
    if error.status == 404:
        return NotFound(f"{url} failed {doing}: {said}.", reason="KUBEFLOW_NOT_FOUND", url=url)
    if error.status == 409:
        return AlreadyExists(f"{url} failed {doing}: {said}.", reason="KUBEFLOW_EXISTS", url=url)
    if error.status in (429, 502, 503, 504):
        return Unavailable(
            f"{url} is not ready {doing} (HTTP {error.status}); try again in a minute.",
            reason="KUBEFLOW_UNREACHABLE",
            url=url,
        )
    return FailedPrecondition(
        f"{url} failed {doing}: {said or f'HTTP {error.status}'}.",
        reason="KUBEFLOW_REFUSED",
        url=url,
    )


def unreachable(error: Exception, url: str) -> TagloomError:
    """For a call that got no answer."""
    cause: Any = getattr(error, "reason", None) or error
    if isinstance(cause, urllib3.exceptions.SSLError):
        return _untrusted(url, str(cause))
    said = str(cause).rpartition(": ")[2] if isinstance(cause, Exception) else str(cause)
    return Unavailable(
        f"{url} does not answer ({said.strip('()')}); check the address, and for a port-forward "
        "that it still runs.",
        reason="KUBEFLOW_UNREACHABLE",
        url=url,
    )


def _untrusted(url: str, said: str) -> TagloomError:
    found = re.search(r"certificate verify failed: ([^(]+)", said)
    return Unavailable(
        f"The TLS certificate of {url} is not trusted"
        f"{f' ({found[1].strip()})' if found else ''}; name its CA with --kubeflow-ca, or write "
        "http:// if the server speaks no TLS.",
        reason="KUBEFLOW_NOT_TRUSTED",
        url=url,
    )


def _is_json(error: Any) -> bool:
    try:
        return isinstance(json.loads(error.body or ""), dict)
    except ValueError:
        return False


def _said(error: Any) -> str:
    """The server's own words, shortened to what tells something."""
    try:
        body = json.loads(error.body or "")
        text = str(body.get("error") or body.get("message") or body.get("error_message") or "")
    except (ValueError, AttributeError):
        return ""
    # "Failed to create a run: Failed to …: InvalidInputError: what it is about"
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= 300 else f"…{text[-299:]}"
