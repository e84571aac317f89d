"""Prometheus metrics of the filter."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from services.filter.build import Built

__all__ = ["FilterMetrics"]


class FilterMetrics:
    """Counted in the server when a dataset is complete: the work itself runs in processes that
    nobody scrapes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.images = Counter(
            "tagloom_filter_images_total",
            "Images judged, by verdict; a rejected one counts under each check that it failed.",
            ["verdict", "check"],
            registry=registry,
        )
        self.scanned = Counter(
            "tagloom_filter_scanned_images_total",
            "Images decoded and scored; those judged from stored scores are not among them.",
            registry=registry,
        )
        self.check_seconds = Counter(
            "tagloom_filter_check_seconds_total",
            "Processor time spent on scoring, by check; decoding is `decode`.",
            ["check"],
            registry=registry,
        )

    def observe(self, built: Built) -> None:
        """Counts a dataset that was made; one that was there already adds nothing."""
        if not built.made:
            return
        self.images.labels("kept", "").inc(built.dataset.kept)
        for check, count in built.rejected.items():
            self.images.labels("rejected", check).inc(count)
        self.scanned.inc(built.scanned)
        for check, seconds in built.seconds.items():
            self.check_seconds.labels(check).inc(seconds)
