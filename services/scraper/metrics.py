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
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from tagloom.artifacts.collection import Collection, HashtagSource, ProfileSource, Source
from tagloom.errors import TagloomError

__all__ = ["ScraperMetrics", "Traffic"]

_LOCKOUTS = {
    "INSTAGRAM_RATE_LIMITED": "rate_limited",
    "INSTAGRAM_LOGIN_REQUIRED": "login_required",
    "INSTAGRAM_SESSION_REJECTED": "session_rejected",
    "INSTAGRAM_CHALLENGE": "challenge",
    "INSTAGRAM_FORBIDDEN": "forbidden",
}
"""reasons of errors after which it is no use to ask Instagram again soon, and their labels"""

_INSTAGRAM = (HashtagSource, ProfileSource)


class Traffic(Collector):
    """Counts the lines of traffic logs, when asked for metrics."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tagloom-traffic-"))
        self._lock = threading.Lock()
        self._offsets: dict[Path, int] = {}
        self._requests: Counter[tuple[str, str]] = Counter()
        self._waits: dict[str, float] = {}
        self._paused_until = 0.0

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
                "Requests sent to Instagram or to hosts of lists, by kind and outcome.",
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
            pause = GaugeMetricFamily(
                "tagloom_scraper_paused_until_timestamp_seconds",
                "Until when Instagram last asked to be left alone; 0 if it never did.",
                value=self._paused_until,
            )
        yield from (requests, waits, pause)

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
                case ["pause", int(until) | float(until)]:
                    self._paused_until = max(self._paused_until, until)


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
        self._locked_out = prometheus_client.Gauge(
            "tagloom_scraper_locked_out",
            "1 if the last collection from Instagram ended because Instagram refused, by reason.",
            ("reason",),
            registry=registry,
        )
        for reason in _LOCKOUTS.values():
            self._locked_out.labels(reason).set(0)

    def failed(self, source: Source, error: TagloomError) -> None:
        """A collection could not be completed."""
        refusal = _LOCKOUTS.get(error.reason)
        if refusal is not None and isinstance(source, _INSTAGRAM):
            for reason in _LOCKOUTS.values():
                self._locked_out.labels(reason).set(reason == refusal)

    def finished(self, collection: Collection, *, new: bool) -> None:
        """A collection became complete; its items count if it is a new one."""
        if isinstance(collection.source, _INSTAGRAM):
            for reason in _LOCKOUTS.values():
                self._locked_out.labels(reason).set(0)
        if not new:
            return
        for state, number in (
            ("stored", collection.stored),
            ("duplicate", collection.duplicates),
            ("skipped", collection.skipped),
            ("refused", collection.refused),
        ):
            self._items.labels(collection.source.kind, state).inc(number)
