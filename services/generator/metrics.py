"""What the generator tells Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import CollectorRegistry

__all__ = ["GeneratorMetrics"]

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class GeneratorMetrics:
    """The generator's metrics in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._images = Counter("tagloom_generator_images", "Images rendered.", registry=registry)
        self._failures = Counter(
            "tagloom_generator_failed_images",
            "Images that could not be rendered.",
            registry=registry,
        )
        self._seconds = Histogram(
            "tagloom_generator_image_seconds",
            "From asking for an image until it is there, waiting included.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._batch = Histogram(
            "tagloom_generator_batch_images",
            "Images in a batch, the filling-up not counted.",
            buckets=(1, 2, 4, 8, 16),
            registry=registry,
        )
        self._waiting = Gauge(
            "tagloom_generator_waiting_images",
            "Images asked for and not begun.",
            registry=registry,
        )

    def watch(self, waiting: Callable[[], int]) -> None:
        """Have the number of waiting images read from `waiting`."""
        self._waiting.set_function(waiting)

    def failed(self, count: int) -> None:
        """So many images of a batch could not be rendered."""
        self._failures.inc(count)

    def rendered(self, size: int, seconds: list[float]) -> None:
        """A batch is done."""
        self._images.inc(size)
        self._batch.observe(size)
        for value in seconds:
            self._seconds.observe(value)
