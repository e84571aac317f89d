"""What a server tells Prometheus besides its calls: itself, its queue, and its use of the store."""

from __future__ import annotations

import asyncio
import math
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
import worker_calls
from echo_service import EchoClient, Serve
from prometheus_client.parser import text_string_to_metric_families

from tagloom.rpc.background import BackgroundServer
from tagloom.rpc.workers import Workers
from tagloom.store.tally import FAILURES, REQUESTS, TALLY


class Page:
    """`/metrics`, once."""

    def __init__(self, server: BackgroundServer) -> None:
        assert server.server is not None
        address = f"http://127.0.0.1:{server.server.metrics_port}/metrics"
        with urllib.request.urlopen(address, timeout=10) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        self.samples = [sample for family in families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float | None:
        """Of the one series with these labels; None where there is none yet."""
        found = [
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        assert len(found) <= 1, "the labels fit several series"
        return found[0] if found else None

    def number(self, name: str, **labels: str) -> float:
        value = self.value(name, **labels)
        assert value is not None, f"there is no {name}"
        return value

    def count(self, name: str) -> int:
        return sum(sample.name == name for sample in self.samples)


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def test_a_server_says_what_it_is_and_whether_it_is_ready(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tagloom.rpc.server._READY_INTERVAL_S", 0.2)
    with serve(metrics_address="127.0.0.1:0") as server:
        wait_until(lambda: Page(server).value("tagloom_server_ready") == 1)
        assert Page(server).value("tagloom_server_info", services="echo") == 1
        (tmp_path / "store").rename(tmp_path / "away")
        wait_until(lambda: Page(server).value("tagloom_server_ready") == 0)
        (tmp_path / "away").rename(tmp_path / "store")
        wait_until(lambda: Page(server).value("tagloom_server_ready") == 1)


def test_every_series_that_an_alert_counts_is_there_before_it_grows(serve: Serve) -> None:
    """A counter that appears with its first failure has not grown, as Prometheus sees it."""
    with serve(metrics_address="127.0.0.1:0") as server:
        page = Page(server)
    for outcome in ("succeeded", "failed", "cancelled", "handed_back", "lost"):
        labels = {"service": "echo", "method": "Count", "outcome": outcome}
        assert page.value("tagloom_operations_ended_total", **labels) == 0
    assert page.value("tagloom_operations_running", service="echo") == 0
    assert page.count("tagloom_store_request_seconds_count") == len(REQUESTS)
    assert page.count("tagloom_store_failures_total") == len(REQUESTS) * len(FAILURES)
    assert page.count("tagloom_store_retries_total") == 1


def test_the_queue_is_shown_while_the_server_is_busy(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tagloom.rpc.runner._QUEUE_INTERVAL_S", 0.2)
    with (
        serve(metrics_address="127.0.0.1:0", max_operations=1) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        echo = EchoClient(channel)
        wait_until(lambda: Page(server).value("tagloom_operations_queued", service="echo") == 0)
        oldest = "tagloom_operations_oldest_queued_timestamp_seconds"
        assert math.isnan(Page(server).number(oldest, service="echo"))
        echo.count("first", units=2, seconds=1.5)
        wait_until(lambda: Page(server).value("tagloom_operations_running", service="echo") == 1)
        asked = time.time()
        echo.count("second", units=1)
        echo.count("third", units=1)
        wait_until(lambda: Page(server).value("tagloom_operations_queued", service="echo") == 2)
        assert abs(Page(server).number(oldest, service="echo") - asked) < 1.0
        done = "tagloom_operations_attempt_seconds_count"
        wait_until(lambda: Page(server).value(done, method="Count") == 3, 30)
        wait_until(lambda: Page(server).value("tagloom_operations_queued", service="echo") == 0)
        page = Page(server)
        assert math.isnan(page.number(oldest, service="echo"))
        assert page.number("tagloom_operations_attempt_seconds_sum", method="Count") > 3.0
        assert page.value("tagloom_operations_ended_total", outcome="succeeded") == 3


def test_what_a_worker_asks_of_the_store_is_counted_by_its_server(tmp_path: Path) -> None:
    async def body() -> None:
        pool = Workers(1)
        try:
            await pool.run(worker_calls.put_objects, str(tmp_path / "store"), 7)
        finally:
            await pool.close()

    TALLY.take()
    asyncio.run(body())
    counted = TALLY.take()
    assert {name: sum(timing.counts) for name, timing in counted.timings.items()} == {"put": 7}


def test_and_while_it_works_for_hours_too(tmp_path: Path) -> None:
    """Not only when it is done: the worker sends its numbers every five seconds."""

    async def body() -> int:
        pool = Workers(1)
        seen = 0

        def report(phase: str, done: int, total: int, message: str = "") -> None:
            nonlocal seen
            timing = TALLY.read().timings.get("put")
            seen = max(seen, sum(timing.counts) if timing else 0)

        try:
            await pool.run(
                worker_calls.put_objects_slowly, str(tmp_path / "store"), 14, report=report
            )
        finally:
            await pool.close()
        return seen

    TALLY.take()
    assert 0 < asyncio.run(body()) < 14
    assert sum(TALLY.take().timings["put"].counts) == 14
