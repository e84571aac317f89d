"""The few calls to a Kubernetes API server that launchers make, and what its refusals mean."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagloom.errors import (
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    TagloomError,
    Unauthenticated,
    Unavailable,
)

__all__ = ["EVENT", "JOB", "POD", "TRAIN_JOB", "Cluster", "Expired", "Kind", "Stream"]

_CONNECT_S = 5.0
_READ_S = 20.0
_WATCH_S = 240
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object, and where its collection lies."""

    name: str
    api: str
    plural: str


JOB = Kind("Job", "/apis/batch/v1", "jobs")
TRAIN_JOB = Kind("TrainJob", "/apis/trainer.kubeflow.org/v1alpha1", "trainjobs")
POD = Kind("Pod", "/api/v1", "pods")
EVENT = Kind("Event", "/api/v1", "events")


class Expired(Exception):
    """The server has forgotten the place that a watch should go on from: list again."""


class Stream:
    """What happens to the objects of a list, as it happens."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(ADDED, MODIFIED, DELETED or BOOKMARK, the object), until the server ends it.

        Raises Expired; urllib3's errors when the connection breaks.
        """
        rest = b""
        for block in self._response.stream(None, decode_content=False):
            *lines, rest = (rest + block).split(b"\n")
            for line in filter(None, lines):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise _broken(event["object"])
                yield event["type"], event["object"]

    def interrupt(self) -> None:
        """Wake up the thread that reads from it: to it, the connection breaks."""
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # it has ended by itself
            self._response.shutdown()

    def close(self) -> None:
        """Give up the connection; for the thread that reads."""
        self._response.close()


def _broken(status: Mapping[str, Any]) -> Exception:
    message = str(status.get("message", "no reason given"))
    if status.get("code") == 410:
        return Expired(message)
    return Unavailable(
        f"The Kubernetes API server broke off a watch ({message}); it is begun again.",
        reason="CLUSTER_UNREACHABLE",
    )


class Cluster:
    """One namespace of one API server, as somebody who may start trainings there."""

    def __init__(self, client: Any, namespace: str) -> None:
        """client: a `kubernetes.client.ApiClient`."""
        self._client = client
        self._library = _library()
        self.namespace = namespace

    @classmethod
    def connect(cls, namespace: str, environment: Mapping[str, str] = os.environ) -> Cluster:
        """With the service account of the pod that this runs in, or else by the kubeconfig.

        `namespace` may be empty: the pod's own, or the kubeconfig's. Asks nobody yet.
        Raises FailedPrecondition (CLUSTER_NOT_CONFIGURED).
        """
        library = _library()
        configuration = library.client.Configuration()
        try:
            if environment.get("KUBERNETES_SERVICE_HOST"):
                library.config.load_incluster_config(client_configuration=configuration)
                own = _NAMESPACE_FILE.read_text() if _NAMESPACE_FILE.is_file() else ""
            else:
                path = environment.get("KUBECONFIG") or None
                library.config.load_kube_config(path, client_configuration=configuration)
                _, active = library.config.list_kube_config_contexts(path)
                own = active["context"].get("namespace", "")
        except (library.config.ConfigException, OSError) as error:
            raise FailedPrecondition(
                f"TAGLOOM_LAUNCHER asks for a Kubernetes cluster, but there is none here "
                f"({str(error).rstrip('.')}): run the trainer in a pod with a service account, "
                "name a kubeconfig with KUBECONFIG, or train on this machine with "
                "TAGLOOM_LAUNCHER=process.",
                reason="CLUSTER_NOT_CONFIGURED",
            ) from error
        configuration.retries = False  # what may be asked again is the callers' to judge
        client = library.client.ApiClient(configuration)
        return cls(client, namespace or own.strip() or "tagloom")

    def create(self, kind: Kind, manifest: dict[str, Any]) -> dict[str, Any] | None:
        """What the server made of it; None if there is one of that name already.

        The server validates strictly: an unknown field is an error. Raises PermissionDenied,
        ResourceExhausted, FailedPrecondition, InvalidArgument, Unauthenticated, Unavailable.
        """
        strict = {"fieldValidation": "Strict"}
        try:
            return self._ask("POST", kind, query=strict, body=manifest)
        except _Refused as refusal:
            if refusal.status == 409 and refusal.reason == "AlreadyExists":
                return None
            raise self._error(refusal, "create", kind) from refusal

    def read(self, kind: Kind, name: str) -> dict[str, Any] | None:
        """None if there is none. Raises as `create`."""
        try:
            return self._ask("GET", kind, name)
        except _Refused as refusal:
            if refusal.status == 404 and refusal.reason == "NotFound":
                return None
            raise self._error(refusal, "get", kind) from refusal

    def delete(self, kind: Kind, name: str, uid: str) -> None:
        """Have the object go, after its pods; nothing happens if it is gone. Raises as `create`."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Foreground",
            "preconditions": {"uid": uid},
        }
        try:
            self._ask("DELETE", kind, name, body=body)
        except _Refused as refusal:
            if refusal.status not in (404, 409):
                raise self._error(refusal, "delete", kind) from refusal

    def list(self, kind: Kind, selector: Mapping[str, str]) -> tuple[list[dict[str, Any]], str]:
        """The objects, and the place in time at which they were so. Raises as `create`.

        selector: `fieldSelector`, `labelSelector`.
        """
        try:
            found = self._ask("GET", kind, query=dict(selector))
        except _Refused as refusal:
            raise self._error(refusal, "list", kind) from refusal
        return found["items"], found["metadata"]["resourceVersion"]

    def watch(self, kind: Kind, selector: Mapping[str, str], place: str) -> Stream:
        """What happens from `place` on, for some minutes. Raises Expired, and as `create`."""
        query = {
            **selector,
            "watch": "true",
            "resourceVersion": place,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_S),
        }
        try:
            return Stream(self._call("GET", kind, query=query, read_s=_WATCH_S + 30.0))
        except _Refused as refusal:
            if refusal.status == 410:
                raise Expired(refusal.message) from refusal
            raise self._error(refusal, "watch", kind) from refusal

    def _ask(self, method: str, kind: Kind, name: str = "", **more: Any) -> dict[str, Any]:
        response = self._call(method, kind, name, **more)
        try:
            found: dict[str, Any] = json.loads(response.data)
        finally:
            response.release_conn()
        return found

    def _call(
        self,
        method: str,
        kind: Kind,
        name: str = "",
        *,
        query: Mapping[str, str] | None = None,
        body: dict[str, Any] | None = None,
        read_s: float = _READ_S,
    ) -> Any:
        path = f"{kind.api}/namespaces/{self.namespace}/{kind.plural}"
        try:
            return self._client.call_api(
                f"{path}/{name}" if name else path,
                method,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json", "Content-Type": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _preload_content=False,
                _request_timeout=(_CONNECT_S, read_s),
            )
        except self._library.client.ApiException as error:
            if not error.status:  # TLS, which the client reports as such
                raise self._unreachable(error.reason) from error
            raise _Refused.of(error) from error
        except self._library.urllib3_errors as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: object) -> Unavailable:
        first = str(error).strip().splitlines() or ["no answer"]
        return Unavailable(
            f"The Kubernetes API server at {self._client.configuration.host} does not answer "
            f"({first[-1][:200]}); check that it runs and can be reached from here.",
            reason="CLUSTER_UNREACHABLE",
        )

    def _error(self, refusal: _Refused, verb: str, kind: Kind) -> TagloomError:
        """What a refusal means for somebody who wants a run trained."""
        said = refusal.message.strip().rstrip(".")
        if refusal.status == 401:
            return Unauthenticated(
                f"The Kubernetes API server does not know who is asking ({said}); renew the "
                "kubeconfig, or the token of the trainer's service account.",
                reason="CLUSTER_UNAUTHENTICATED",
            )
        if refusal.status == 403 and "exceeded quota" in said:
            return ResourceExhausted(
                f"The namespace {self.namespace} has no room for another {kind.name} ({said}); "
                "remove some, or raise its quota, then resume the run.",
                reason="CLUSTER_QUOTA",
                namespace=self.namespace,
            )
        if refusal.status == 403:
            return PermissionDenied(
                f"The trainer may not {verb} {kind.plural} in the namespace {self.namespace} "
                f"({said}); apply k8s/base there, or choose another with TAGLOOM_JOB_NAMESPACE.",
                reason="CLUSTER_FORBIDDEN",
                namespace=self.namespace,
                verb=verb,
                resource=kind.plural,
            )
        if refusal.status == 404 and kind is TRAIN_JOB and refusal.reason != "NotFound":
            return FailedPrecondition(
                "The cluster does not know TrainJobs: install Kubeflow Trainer v2 with JobSet, or "
                "train on one node with TAGLOOM_LAUNCHER=job.",
                reason="TRAINJOB_NOT_INSTALLED",
            )
        if refusal.status == 404:
            return FailedPrecondition(
                f"The cluster has no namespace {self.namespace} ({said}); apply k8s/base, or "
                "choose another with TAGLOOM_JOB_NAMESPACE.",
                reason="CLUSTER_NAMESPACE_MISSING",
                namespace=self.namespace,
            )
        if refusal.status in (400, 422):
            return InvalidArgument(
                f"The API server refuses the {kind.name} ({said}); correct the TAGLOOM_JOB_… "
                "setting that it names.",
                reason="MANIFEST_REFUSED",
            )
        return Unavailable(
            f"The Kubernetes API server cannot {verb} {kind.plural} now ({refusal.status}: "
            f"{said[:300]}); try again in a moment.",
            reason="CLUSTER_UNREACHABLE",
        )


class _Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message

    @classmethod
    def of(cls, error: Any) -> _Refused:
        body = error.body or ""
        text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
        try:
            told = json.loads(text)
            return cls(error.status, told.get("reason", ""), told.get("message", "") or text)
        except (ValueError, AttributeError):
            return cls(error.status, "", text or str(error.reason))


@dataclass(frozen=True, slots=True)
class _Library:
    client: Any
    config: Any
    urllib3_errors: Any


def _library() -> _Library:
    """The official client: slow to import, untyped, and only needed where there is a cluster."""
    try:
        client = importlib.import_module("kubernetes.client")
        config = importlib.import_module("kubernetes.config")
        errors = importlib.import_module("urllib3.exceptions")
    except ImportError as error:
        raise FailedPrecondition(
            "TAGLOOM_LAUNCHER asks for a Kubernetes cluster, which needs the Python package "
            "kubernetes; install it with pip install 'tagloom[trainer]'.",
            reason="KUBERNETES_NOT_INSTALLED",
        ) from error
    return _Library(client, config, errors.HTTPError)
