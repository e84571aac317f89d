"""What the scraper tells Prometheus; workers count requests in `TrafficLog` files."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import prometheus_client
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from tagloom.artifacts.collection import Collection

__all__ = ["ScraperMetrics", "Traffic"]


class Traffic(Collector):
    """Counts the lines of traffic logs, when asked for metrics."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tagloom-traffic-"))
        self._lock = threading.Lock()
        self._offsets: dict[Path, int] = {}
        self._requests: Counter[tuple[str, str]] = Counter()
        self._waits: dict[str, float] = {}

    def new_log(self) -> Path:
        """A file for one attempt at an operation."""
        with self._lock:
            path = self._folder / f"{uuid.uuid4().hex}.jsonl"
            self._offsets[path] = 0
        return path

    def end_log(self, path: Path) -> None:
        """Count the rest of a log, whose writer is gone, and remove it."""
        with self._lock:
            self._read(path)
            del self._offsets[path]
            path.unlink(missing_ok=True)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry for each scrape."""
        with self._lock:
            for path in self._offsets:
                self._read(path)
            requests = CounterMetricFamily(
                "tagloom_scraper_requests",
                "Requests sent to Instagram, by kind and outcome.",
                labels=("kind", "outcome"),
            )
            for labels, number in sorted(self._requests.items()):
                requests.add_metric(labels, number)
            waits = CounterMetricFamily(
                "tagloom_scraper_wait_seconds",
                "Seconds spent waiting between requests, by reason.",
                labels=("reason",),
            )
            for reason, seconds in sorted(self._waits.items()):
                waits.add_metric((reason,), seconds)
        yield requests
        yield waits

    def close(self) -> None:
        """Remove all files."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                file.seek(self._offsets[path])
                new = file.read()
        except FileNotFoundError:  # the worker has sent nothing yet
            return
        whole = new[: new.rfind(b"\n") + 1]
        self._offsets[path] += len(whole)
        for line in whole.splitlines():
            match json.loads(line):
                case ["request", str(kind), str(outcome)]:
                    self._requests[kind, outcome] += 1
                case ["wait", str(reason), int(seconds) | float(seconds)]:
                    self._waits[reason] = self._waits.get(reason, 0.0) + seconds


class ScraperMetrics:
    """The scraper's metrics in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.traffic = Traffic()
        registry.register(self.traffic)
        self._items = prometheus_client.Counter(
            "tagloom_scraper_items",
            "Files and post images of finished collections, by source and what became of them.",
            ("source", "state"),
            registry=registry,
        )

    def finished(self, collection: Collection) -> None:
        """A collection became complete."""
        for state, number in (
            ("stored", collection.stored),
            ("duplicate", collection.duplicates),
            ("skipped", collection.skipped),
            ("refused", collection.refused),
        ):
            self._items.labels(collection.source.kind, state).inc(number)
