"""Kubeflow Pipelines behind its SDK: deadlines, a token that is renewed, errors of our own classes.

The SDK's client prints links to stdout, waits without end for a silent host, and raises what its
HTTP library raises. Every call here is quiet, ends within half a minute, and says in one sentence
what is wrong and what to do.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import kfp
import kfp_server_api  # type: ignore[import-untyped]  # generated, without types
import urllib3
from kfp_server_api.rest import RESTClientObject  # type: ignore[import-untyped]

from pipelines.kubeflow.refusals import refusal, unreachable
from tagloom.errors import FailedPrecondition, InvalidArgument, TagloomError

__all__ = ["Address", "Server"]

R = TypeVar("R")

CONNECT_S, READ_S, PROBE_S = 5, 30, 10
OLDEST = (2, 14)
"""the first server that tells an exit handler how the steps before it ended"""


@dataclass(frozen=True)
class Address:
    """Where Kubeflow Pipelines is, and who asks."""

    url: str
    """of its UI or of its API server"""
    namespace: str = ""
    """the user's; empty where the installation has one for all"""
    token: str = field(default="", repr=False)
    token_file: str = ""
    """read again whenever the token is refused: tokens of service accounts are renewed there"""
    ca: str = ""
    """PEM file of the CA that signed the server's certificate"""

    def current_token(self) -> str:
        """Raises InvalidArgument (FILE_UNREADABLE)."""
        if not self.token_file:
            return self.token
        try:
            return Path(self.token_file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidArgument(
                f"The token file {self.token_file} cannot be read; give one that holds a token.",
                reason="FILE_UNREADABLE",
                file=self.token_file,
            ) from error


class _Patient(RESTClientObject):  # type: ignore[misc]
    """The SDK's HTTP client, with a deadline for every request."""

    def request(self, *args: Any, **options: Any) -> Any:
        options["_request_timeout"] = options.get("_request_timeout") or (CONNECT_S, READ_S)
        return super().request(*args, **options)


class Server:
    """A server that answered as Kubeflow Pipelines 2."""

    def __init__(self, address: Address) -> None:
        """Connects, and asks what it is.

        Raises InvalidArgument (KUBEFLOW_URL_INVALID, FILE_UNREADABLE), Unavailable
        (KUBEFLOW_UNREACHABLE), FailedPrecondition (KUBEFLOW_VERSION, KUBEFLOW_NAMESPACE_MISSING,
        KUBEFLOW_NAMESPACE_UNUSED), Unauthenticated (KUBEFLOW_TOKEN_REFUSED).
        """
        _check(address)
        self.address = address
        self.url = address.url.rstrip("/")
        self._configuration = kfp_server_api.Configuration(host=self.url)
        self._configuration.ssl_ca_cert = address.ca or None
        # What may be sent again is, once: with the deadlines, within a minute.
        self._configuration.retries = urllib3.Retry(2, read=0, backoff_factor=0.5)
        self._set_token(address.current_token())
        self._api = self._patient(kfp_server_api.ApiClient(self._configuration))
        health = self._probe()
        self._check_namespace(bool(health.get("multi_user") or health.get("apiServerMultiUser")))
        with _quiet():
            self.client = kfp.Client(
                host=self.url,
                existing_token=self._token or None,
                ssl_ca_cert=address.ca or None,
                namespace=address.namespace or "kubeflow",
            )
        for name in ("_run_api", "_experiment_api", "_pipelines_api", "_upload_api"):
            api_client = getattr(self.client, name).api_client
            self._patient(api_client)
            api_client.configuration = self._configuration

    @property
    def namespace(self) -> str | None:
        """What the SDK's calls take: none where there is one namespace for all."""
        return self.address.namespace or None

    def call(self, doing: str, method: Callable[..., R], *args: Any, **options: Any) -> R:
        """Calls a method of the SDK; `doing` says what for: "to start a run"."""
        for attempt in range(2):
            try:
                with _quiet():
                    return method(*args, **options)
            except kfp_server_api.ApiException as error:
                if error.status == 401 and attempt == 0 and self._renew():
                    continue
                raise refusal(error, self.address, doing) from error
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise unreachable(error, self.url) from error
        raise AssertionError("unreachable")

    def log(self, run_id: str, pod: str) -> str:
        """What the main container of a run's pod printed; empty when it cannot be had.

        A log is a help, not a need: it may be gone with its pod, or not be ours to read.
        """
        path = "/apis/v1alpha1/runs/{run_id}/nodes/{node_id}/log"
        try:
            answer = self.call(
                "to read a log",
                self._api.call_api,
                path,
                "GET",
                {"run_id": run_id, "node_id": pod},
                auth_settings=["Bearer"],
                _preload_content=False,
                _return_http_data_only=True,
            )
            return bytes(answer.data).decode("utf-8", "replace")
        except TagloomError:
            return ""

    def run_url(self, run_id: str) -> str:
        """The run's page in Kubeflow's UI."""
        return f"{self.url}/#/runs/details/{run_id}"

    def _probe(self) -> dict[str, Any]:
        """What the server says of itself."""
        answer = self.call(
            "to say what it is",
            self._api.call_api,
            "/apis/v2beta1/healthz",
            "GET",
            _request_timeout=(CONNECT_S, PROBE_S),
            auth_settings=["Bearer"],
            _preload_content=False,
            _return_http_data_only=True,
        )
        try:
            health = json.loads(bytes(answer.data))
        except ValueError:
            health = None
        if not isinstance(health, dict):
            raise FailedPrecondition(
                f"{self.url} answered with a page instead of data: a login, or another program; "
                "give the address of Kubeflow Pipelines, and a token with --kubeflow-token-file.",
                reason="KUBEFLOW_VERSION",
                url=self.url,
            )
        version = str(health.get("apiServerTagName") or health.get("tag_name") or "")
        found = re.match(r"v?(\d+)\.(\d+)\.", version)
        if found and not OLDEST <= (int(found[1]), int(found[2])) < (3, 0):
            oldest = ".".join(map(str, OLDEST))
            raise FailedPrecondition(
                f"{self.url} is Kubeflow Pipelines {version}; use a server of 2.x, at least "
                f"{oldest} (Tagloom was made for {kfp.__version__}).",
                reason="KUBEFLOW_VERSION",
                url=self.url,
                version=version,
            )
        return health

    def _check_namespace(self, several: bool) -> None:
        if several and not self.address.namespace:
            raise FailedPrecondition(
                f"{self.url} serves several users; say in whose namespace the pipeline runs with "
                "--kubeflow-namespace.",
                reason="KUBEFLOW_NAMESPACE_MISSING",
                url=self.url,
            )
        if self.address.namespace and not several:
            raise FailedPrecondition(
                f"{self.url} runs all pipelines in one namespace; leave --kubeflow-namespace out.",
                reason="KUBEFLOW_NAMESPACE_UNUSED",
                url=self.url,
            )

    def _set_token(self, token: str) -> None:
        self._token = token
        if token:
            self._configuration.api_key["authorization"] = token
            self._configuration.api_key_prefix["authorization"] = "Bearer"

    def _renew(self) -> bool:
        """Whether the token's file holds another one by now."""
        token = self.address.current_token()
        if token == self._token:
            return False
        self._set_token(token)
        return True

    def _patient(self, api: Any) -> Any:
        api.rest_client = _Patient(self._configuration)
        return api


def _check(address: Address) -> None:
    try:
        split = urlsplit(address.url)
        _ = split.port  # raises ValueError when it is none
        good = split.scheme in ("http", "https") and bool(split.hostname) and not split.fragment
    except ValueError:
        split, good = urlsplit(""), False
    if not good or split.query or "@" in split.netloc:
        shown = address.url if "@" not in address.url else "The URL"  # it holds a password
        raise InvalidArgument(
            f"{shown} is not the address of a server; write https://host or "
            "http://127.0.0.1:8888 (kubectl port-forward), without credentials in it.",
            reason="KUBEFLOW_URL_INVALID",
        )
    if address.ca and not Path(address.ca).is_file():
        raise InvalidArgument(
            f"There is no file {address.ca}; --kubeflow-ca names a CA's certificates in PEM.",
            reason="FILE_UNREADABLE",
            file=address.ca,
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the SDK's links and warnings out of stdout and stderr."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
