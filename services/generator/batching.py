"""Concurrent requests share batches: what arrives while one is rendered makes up the next.

No timer waits for a batch to fill: a lone request is served at once, and under load batches fill
by themselves. Networks take turns, and within one the oldest order goes first; a request has only
a few orders waiting at a time, so a large one does not keep out the small ones.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from services.generator.points import Order
from tagloom.errors import ResourceExhausted, TagloomError, Unavailable
from tagloom.networks.catalog import CatalogEntry

__all__ = ["Batcher", "BatchSize", "Observe", "ObserveFailure", "Render"]

Render = Callable[[CatalogEntry, Sequence[Order]], Awaitable[list[bytes | TagloomError]]]
"""Makes images: one result for each order, in order; one batch at a time."""
BatchSize = Callable[[CatalogEntry], Awaitable[int]]
"""How many images of a network are rendered at once."""
Observe = Callable[[int, list[float]], None]
"""Told after each batch: how many images it had, and how long each was waited for, in seconds."""
ObserveFailure = Callable[[int], None]
"""Told how many images could not be rendered."""

_MOST_WAITING = 4096


@dataclass(slots=True)
class _Waiting:
    order: Order
    image: asyncio.Future[bytes]
    since: float = field(default_factory=time.perf_counter)


@dataclass(slots=True)
class _Queue:
    entry: CatalogEntry
    waiting: deque[_Waiting] = field(default_factory=deque)


class Batcher:
    """Lives in one event loop. Its only task runs while there is something to render."""

    def __init__(
        self,
        render: Render,
        batch_size: BatchSize,
        *,
        observe: Observe = lambda size, seconds: None,
        observe_failure: ObserveFailure = lambda count: None,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        self._render = render
        self._batch_size = batch_size
        self._observe = observe
        self._observe_failure = observe_failure
        self._most_waiting = most_waiting
        self._queues: OrderedDict[str, _Queue] = OrderedDict()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """Orders accepted and not begun."""
        return sum(len(queue.waiting) for queue in self._queues.values())

    async def stream(self, entry: CatalogEntry, orders: Iterable[Order]) -> AsyncGenerator[bytes]:
        """The images of the orders, in order, each as soon as it and those before it are there.

        Raises ResourceExhausted (GENERATOR_BUSY) when too much is waiting already, Unavailable
        (SHUTTING_DOWN), and what rendering raises.
        """
        # Two batches: one being rendered, and one ready when it is done.
        window = 2 * await self._batch_size(entry)
        ahead: deque[asyncio.Future[bytes]] = deque()
        source = iter(orders)
        try:
            while True:
                while len(ahead) < window and (order := next(source, None)) is not None:
                    ahead.append(self._submit(entry, order))
                if not ahead:
                    return
                yield await ahead[0]
                ahead.popleft()
        finally:
            for image in ahead:
                if not image.cancel() and not image.cancelled():
                    image.exception()  # seen: asyncio would log it as forgotten

    async def close(self) -> None:
        """Fail what is waiting, and take no more."""
        self._closed = True
        for queue in self._queues.values():
            for waiting in queue.waiting:
                if not waiting.image.done():
                    waiting.image.set_exception(_shutting_down())
        self._queues.clear()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def _submit(self, entry: CatalogEntry, order: Order) -> asyncio.Future[bytes]:
        if self._closed:
            raise _shutting_down()
        if self.waiting >= self._most_waiting:
            raise ResourceExhausted(
                f"The generator has {self.waiting} images waiting already; try again in a moment.",
                reason="GENERATOR_BUSY",
                retry_after_s=5,
            )
        key = entry.network.weights_sha256
        queue = self._queues.setdefault(key, _Queue(entry))
        waiting = _Waiting(order, asyncio.get_running_loop().create_future())
        queue.waiting.append(waiting)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        return waiting.image

    async def _work(self) -> None:
        while self._queues:
            key, queue = next(iter(self._queues.items()))
            try:
                size = await self._batch_size(queue.entry)
            except TagloomError as error:
                _fail(queue.waiting, error)
                self._queues.pop(key, None)
                continue
            batch = _take(queue.waiting, size)
            if queue.waiting:
                self._queues.move_to_end(key)
            else:
                self._queues.pop(key, None)
            if batch:
                await self._serve(queue.entry, batch)

    async def _serve(self, entry: CatalogEntry, batch: list[_Waiting]) -> None:
        try:
            images = await self._render(entry, [waiting.order for waiting in batch])
        except asyncio.CancelledError:
            _fail(batch, _shutting_down())
            raise
        except Exception as error:
            # Whatever it is, those who wait must hear of it, and the next batch be served.
            self._observe_failure(len(batch))
            _fail(batch, error)
            return
        now = time.perf_counter()
        for waiting, image in zip(batch, images, strict=True):
            if waiting.image.done():
                continue
            if isinstance(image, TagloomError):
                waiting.image.set_exception(image)
            else:
                waiting.image.set_result(image)
        self._observe_failure(sum(isinstance(image, TagloomError) for image in images))
        self._observe(len(batch), [now - waiting.since for waiting in batch])


def _take(waiting: deque[_Waiting], size: int) -> list[_Waiting]:
    """Up to `size` of them, oldest first, without those that nobody wants any more."""
    batch: list[_Waiting] = []
    while waiting and len(batch) < size:
        oldest = waiting.popleft()
        if not oldest.image.done():
            batch.append(oldest)
    return batch


def _fail(batch: Iterable[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.image.done():
            waiting.image.set_exception(error)


def _shutting_down() -> Unavailable:
    return Unavailable("The server is shutting down; ask again.", reason="SHUTTING_DOWN")
