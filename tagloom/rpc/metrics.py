"""Metrics of calls, operations and the store, and the HTTP endpoint where Prometheus scrapes them.

Calls have the `grpc_server_*` names and labels of go-grpc-prometheus, which the Java, Go and
(synchronous) Python interceptors share and dashboards for gRPC expect.
"""

from __future__ import annotations

import importlib.metadata
import itertools
from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from tagloom.errors import FailedPrecondition
from tagloom.rpc.settings import split_address
from tagloom.store.tally import BUCKETS_S, FAILURES, REQUESTS, TALLY, Tally, Timing

__all__ = [
    "CallMetrics",
    "MetricsServer",
    "OperationMetrics",
    "ServerMetrics",
    "StoreMetrics",
    "new_registry",
]

_CALL = ["grpc_type", "grpc_service", "grpc_method"]
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ATTEMPT_BUCKETS_S = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 72 * 3600)
OUTCOMES = ("succeeded", "failed", "cancelled", "handed_back", "lost")
"""how an attempt at an operation can end"""


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


class ServerMetrics:
    """What a server is, and whether it can work."""

    def __init__(self, registry: CollectorRegistry, services: Iterable[str]) -> None:
        info = Info("tagloom_server", "Version and services of this server.", registry=registry)
        version = importlib.metadata.version("tagloom")
        info.info({"version": version, "services": ",".join(services)})
        self.ready = Gauge(
            "tagloom_server_ready",
            "1 while the store answers and the server is not draining, else 0.",
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
        self.queued = Gauge(
            "tagloom_operations_queued",
            "Operations in the store that wait for any server; each server tells the same.",
            ["service"],
            registry=registry,
        )
        self.oldest_queued = Gauge(
            "tagloom_operations_oldest_queued_timestamp_seconds",
            "When the oldest of the waiting operations was asked for; NaN while none waits.",
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
        self.seconds = Histogram(
            "tagloom_operations_attempt_seconds",
            "How long attempts took, whatever the outcome.",
            ["service", "method"],
            buckets=_ATTEMPT_BUCKETS_S,
            registry=registry,
        )

    def expect(self, service: str, methods: Iterable[str]) -> None:
        """Shows a service's counters from the start, at 0.

        Prometheus sees how much a counter grew only once it has seen it: a first failure would
        go unnoticed.
        """
        self.running.labels(service).set(0)
        for method in methods:
            self.started.labels(service, method)
            self.seconds.labels(service, method)
            for outcome in OUTCOMES:
                self.ended.labels(service, method, outcome)

    def show_queue(self, service: str, create_times: Iterable[datetime]) -> None:
        """What waits: when each was asked for."""
        times = [time.timestamp() for time in create_times]
        self.queued.labels(service).set(len(times))
        self.oldest_queued.labels(service).set(min(times, default=float("nan")))


class StoreMetrics(Collector):
    """What this process and its workers asked of the store."""

    def __init__(self, registry: CollectorRegistry, tally: Tally = TALLY) -> None:
        self._tally = tally
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry for each scrape. Every series is there from the start."""
        counted = self._tally.read()
        seconds = HistogramMetricFamily(
            "tagloom_store_request_seconds",
            "Time that requests to the object store took, repetitions included.",
            labels=["request"],
        )
        failures = CounterMetricFamily(
            "tagloom_store_failures",
            "Requests that failed for the store's sake: unavailable, full, denied, refused.",
            labels=["request", "reason"],
        )
        retries = CounterMetricFamily(
            "tagloom_store_retries", "Requests to the object store that were sent again."
        )
        retries.add_metric([], counted.retries)
        limits = [*map(floatToGoString, BUCKETS_S), "+Inf"]
        for request in REQUESTS:
            timing = counted.timings.get(request, Timing())
            buckets = list(zip(limits, itertools.accumulate(timing.counts), strict=True))
            seconds.add_metric([request], buckets, timing.seconds)
            for reason in FAILURES:
                failures.add_metric([request, reason], counted.failures.get((request, reason), 0))
        yield from (seconds, failures, retries)


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
