"""Metrics of calls and operations, and the HTTP endpoint where Prometheus scrapes them.

Calls have the `grpc_server_*` names and labels of go-grpc-prometheus, which the Java, Go and
(synchronous) Python interceptors share and dashboards for gRPC expect.
"""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

from tagloom.errors import FailedPrecondition
from tagloom.rpc.settings import split_address

__all__ = ["CallMetrics", "MetricsServer", "OperationMetrics", "new_registry"]

_CALL = ["grpc_type", "grpc_service", "grpc_method"]
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


def new_registry() -> CollectorRegistry:
    """A registry of one server's own, with the process's CPU, memory and files in it."""
    # A second series for each counter, which nothing reads.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped in the library
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


class CallMetrics:
    """Counters and timings of the calls that a server handles."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.started = Counter(
            "grpc_server_started_total", "Calls started on the server.", _CALL, registry=registry
        )
        self.handled = Counter(
            "grpc_server_handled_total",
            "Calls completed on the server, whatever the outcome.",
            [*_CALL, "grpc_code"],
            registry=registry,
        )
        self.received = Counter(
            "grpc_server_msg_received_total",
            "Messages received on the server.",
            _CALL,
            registry=registry,
        )
        self.sent = Counter(
            "grpc_server_msg_sent_total", "Messages sent by the server.", _CALL, registry=registry
        )
        self.seconds = Histogram(
            "grpc_server_handling_seconds",
            "Time from a call's start to its end, in seconds.",
            _CALL,
            buckets=_BUCKETS_S,
            registry=registry,
        )


class OperationMetrics:
    """Prometheus metrics of the operations of all services of a server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.running = Gauge(
            "tagloom_operations_running",
            "Operations that this server works on now.",
            ["service"],
            registry=registry,
        )
        self.started = Counter(
            "tagloom_operations_started_total",
            "Attempts begun, by method; more than one for an operation that was taken over.",
            ["service", "method"],
            registry=registry,
        )
        self.ended = Counter(
            "tagloom_operations_ended_total",
            "Attempts ended: succeeded, failed, cancelled, handed back or lost.",
            ["service", "method", "outcome"],
            registry=registry,
        )


class MetricsServer:
    """Serves /metrics over HTTP from a thread of its own, so that a busy loop is still seen."""

    def __init__(self, address: str, registry: CollectorRegistry) -> None:
        """Raises FailedPrecondition (ADDRESS_IN_USE)."""
        host, port = split_address(address)
        try:
            self._server, self._thread = start_http_server(port, addr=host, registry=registry)
        except OSError as error:
            raise FailedPrecondition(
                f"Metrics cannot be served at {address} ({error.strerror}); stop what listens "
                "there, or choose another TAGLOOM_METRICS_ADDRESS.",
                reason="ADDRESS_IN_USE",
                address=address,
            ) from error
        self.port = int(self._server.server_port)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
