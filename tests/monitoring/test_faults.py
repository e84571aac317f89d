"""What goes wrong is seen: a store that dies, and a server that does, by the rules as they are."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from minio_server import MinioServer
from prometheus_server import PrometheusServer, running_prometheus

from tests.monitoring.stack import configuration, free_port, stack

pytestmark = [pytest.mark.prometheus, pytest.mark.minio]

PATIENCE_S = 240.0


def wait_until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)


def raised(prometheus: PrometheusServer) -> set[str]:
    """Alerts whose expression is true now, whether or not it has been for long enough."""
    return {alert["labels"]["alertname"] for alert in prometheus.ask("alerts")["alerts"]}


def test_a_store_that_dies_and_comes_back_is_told(own_minio: MinioServer, tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(yaml.safe_dump(configuration(port, own_minio.port)))
    with running_prometheus(config, tmp_path) as prometheus:
        with stack(tmp_path, own_minio, port, "scraper"):
            wait_until(lambda: prometheus.query("tagloom_server_ready == 1"), "never ready")
            wait_until(lambda: not raised(prometheus), f"not quiet: {raised(prometheus)}")

            own_minio.kill()
            wait_until(
                lambda: raised(prometheus) >= {"TagloomServiceNotReady", "TagloomStoreErrors"},
                "nobody notices a dead store",
            )
            (reason,) = prometheus.query("sum by (reason) (tagloom_store_failures_total) > 0")
            assert reason["metric"] == {"reason": "unavailable"}
            assert prometheus.query("tagloom_store_retries_total > 0")
            assert "TagloomServiceDown" not in raised(prometheus), "it lives"

            own_minio.start()
            wait_until(lambda: prometheus.query("tagloom_server_ready == 1"), "not ready again")
            wait_until(
                lambda: "TagloomServiceNotReady" not in raised(prometheus), "still complaining"
            )
        # tagloom up has ended in good order, and that is what an absent server looks like.
        wait_until(lambda: "TagloomServiceDown" in raised(prometheus), "nobody misses it")
