"""What a server can be told, by flags or by the environment (`TAGLOOM_…`)."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tagloom.errors import InvalidArgument

__all__ = ["Settings", "is_loopback", "split_address"]


def _setting(default: Any, help_text: str) -> Any:
    return field(default=default, metadata={"help": help_text})


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one server process. Each field is read from `TAGLOOM_<FIELD>`."""

    store: str = _setting("./tagloom-data", "Object store: a folder, or s3://bucket[/prefix].")
    address: str = _setting("127.0.0.1:50051", "Where to listen, host:port (port 0: any free).")
    health_address: str = _setting(
        "", "Second, plaintext port for health alone, for a kubelet's probes. Empty: none."
    )
    metrics_address: str = _setting("", "Where Prometheus scrapes /metrics. Empty: nowhere.")
    token: str = _setting("", "Bearer token that every call must carry. Empty: none is asked for.")
    token_file: str = _setting("", "File holding the token (a mounted secret).")
    tls_cert: str = _setting("", "PEM file of the server's certificate chain.")
    tls_key: str = _setting("", "PEM file of the server's private key.")
    tls_client_ca: str = _setting("", "PEM file of the CA that client certificates must come from.")
    insecure: bool = _setting(
        False, "Serve an address other than loopback with neither TLS nor token."
    )
    reflection: bool = _setting(True, "Answer gRPC server reflection.")
    max_message_mib: int = _setting(16, "Largest message taken or sent, in MiB.")
    deadline_s: float = _setting(60.0, "Deadline of a unary call that brings none, in seconds.")
    drain_s: float = _setting(
        0.0, "Seconds between NOT_SERVING and refusing calls, for load balancers to notice."
    )
    grace_s: float = _setting(20.0, "Seconds that running calls and jobs get to end, then cut.")
    workers: int = _setting(0, "Worker processes of each service. 0: as many as CPUs.")
    max_operations: int = _setting(0, "Operations run at once by each service. 0: as it asks for.")
    run_operations: bool = _setting(
        True, "Work on operations. Off: accept and answer only, and leave the work to others."
    )
    lease_s: float = _setting(15.0, "Seconds without a sign of life until another takes over.")
    log_format: str = _setting("json", "json or text.")
    log_level: str = _setting("INFO", "DEBUG, INFO, WARNING or ERROR.")

    def __post_init__(self) -> None:
        split_address(self.address)
        for optional in (self.health_address, self.metrics_address):
            if optional:
                split_address(optional)
        if bool(self.tls_cert) != bool(self.tls_key) or (self.tls_client_ca and not self.tls_cert):
            raise InvalidArgument(
                "TLS needs a certificate and its key: give both --tls-cert and --tls-key.",
                reason="TLS_INCOMPLETE",
            )
        if self.token and self.token_file:
            raise InvalidArgument(
                "Give the token once: either TAGLOOM_TOKEN or TAGLOOM_TOKEN_FILE.",
                reason="TOKEN_GIVEN_TWICE",
            )
        if self.log_format not in ("json", "text"):
            raise _invalid("log_format", self.log_format, "json or text")
        if self.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise _invalid("log_level", self.log_level, "DEBUG, INFO, WARNING or ERROR")
        for name in ("max_message_mib", "deadline_s", "lease_s"):
            if not getattr(self, name) > 0:
                raise _invalid(name, getattr(self, name), "a number above 0")
        for name in ("workers", "max_operations", "drain_s", "grace_s"):
            if not getattr(self, name) >= 0:
                raise _invalid(name, getattr(self, name), "0 or more")

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str] = os.environ,
        given: Mapping[str, object] = MappingProxyType({}),
    ) -> Settings:
        """Settings from `TAGLOOM_…` variables; `given` wins where it is not None.

        Raises InvalidArgument naming the variable that cannot be read.
        """
        values: dict[str, Any] = {}
        for spec in dataclasses.fields(cls):
            if given.get(spec.name) is not None:
                values[spec.name] = given[spec.name]
            elif (text := environment.get(f"TAGLOOM_{spec.name.upper()}")) is not None:
                values[spec.name] = _parse(spec.name, type(spec.default), text)
        return cls(**values)

    def secret_token(self) -> str:
        """The token itself, read from its file if there is one; empty when none is asked for."""
        if not self.token_file:
            return self.token
        try:
            token = Path(self.token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidArgument(
                f"The token file {self.token_file} cannot be read ({error}); check the path.",
                reason="TOKEN_FILE_UNREADABLE",
            ) from error
        if not token:
            raise InvalidArgument(
                f"The token file {self.token_file} is empty; write the token into it.",
                reason="TOKEN_FILE_EMPTY",
            )
        return token


def split_address(address: str) -> tuple[str, int]:
    """("127.0.0.1", 50051) of "127.0.0.1:50051"; IPv6 hosts stand in brackets."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise InvalidArgument(
            f"{address!r} is not an address; write host:port, for example 127.0.0.1:50051.",
            reason="ADDRESS_INVALID",
            address=address,
        )
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach the address."""
    host = split_address(address)[0]
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name: it may resolve to anything


def _parse(name: str, kind: type, text: str) -> object:
    try:
        if kind is bool:
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[
                text.strip().lower()
            ]
        return kind(text)
    except (KeyError, ValueError) as error:
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise _invalid(name, text, wanted) from error


def _invalid(name: str, value: object, wanted: str) -> InvalidArgument:
    flag = name.replace("_", "-")
    return InvalidArgument(
        f"The setting TAGLOOM_{name.upper()} (--{flag}) is {value!r}, but should be {wanted}.",
        reason="SETTING_INVALID",
        setting=name,
    )
