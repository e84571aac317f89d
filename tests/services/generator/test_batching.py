"""The queue in front of the renderer. Rendering here is a plain coroutine that records batches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from services.generator.batching import Batcher
from services.generator.points import Order, Point
from tagloom.artifacts.network import Network
from tagloom.errors import FailedPrecondition, ResourceExhausted, TagloomError, Unavailable
from tagloom.networks.catalog import CatalogEntry


def entry(name: str) -> CatalogEntry:
    network = Network(
        id=name,
        create_time=datetime(2026, 1, 1, tzinfo=UTC),
        architecture="stylegan3-t",
        resolution=32,
        generator={},
        weights_sha256=name * 8,
    )
    return CatalogEntry(f"networks/{name}", network, "")


A, B = entry("a"), entry("b")


def orders(*seeds: int) -> list[Order]:
    return [Order(Point((seed,), (1.0,)), 1.0, "png") for seed in seeds]


class Recorder:
    """Renders an order as its seed's digits, one batch at a time, when it is let."""

    def __init__(self, size: int = 4) -> None:
        self.size = size
        self.batches: list[tuple[str, list[int]]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.bad_seed = -1
        self.at_work = 0

    async def render(
        self, entry: CatalogEntry, wanted: Sequence[Order]
    ) -> list[bytes | TagloomError]:
        self.at_work += 1
        assert self.at_work == 1
        seeds = [order.point.seeds[0] for order in wanted]
        self.batches.append((entry.network.id, seeds))
        try:
            await self.gate.wait()
        finally:
            self.at_work -= 1
        if 666 in seeds:
            raise Unavailable("The worker died.", reason="WORKER_DIED")
        bad = FailedPrecondition("Not a number.", reason="GENERATOR_DIVERGED")
        return [bad if seed == self.bad_seed else str(seed).encode() for seed in seeds]

    async def batch_size(self, entry: CatalogEntry) -> int:
        return self.size


async def gather(batcher: Batcher, entry: CatalogEntry, wanted: list[Order]) -> list[int]:
    return [int(image) async for image in batcher.stream(entry, wanted)]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_stream_is_in_order_and_comes_in_batches() -> None:
    async def scenario() -> None:
        recorder = Recorder()
        seen: list[tuple[int, int]] = []
        batcher = Batcher(
            recorder.render,
            recorder.batch_size,
            observe=lambda size, seconds: seen.append((size, len(seconds))),
        )
        assert await gather(batcher, A, orders(*range(21))) == list(range(21))
        assert sum(len(batch) for _, batch in recorder.batches) == 21
        assert max(len(batch) for _, batch in recorder.batches) == 4
        assert sum(size for size, _ in seen) == 21
        assert all(size == waited for size, waited in seen)

    asyncio.run(scenario())


def test_concurrent_requests_share_batches() -> None:
    async def scenario() -> None:
        recorder = Recorder()
        batcher = Batcher(recorder.render, recorder.batch_size)
        recorder.gate.clear()
        tasks = [asyncio.create_task(gather(batcher, A, orders(seed))) for seed in range(9)]
        await settle()
        assert batcher.waiting == 9 - len(recorder.batches[0][1])
        recorder.gate.set()
        assert await asyncio.gather(*tasks) == [[seed] for seed in range(9)]
        assert len(recorder.batches) <= 4  # nine lone requests

    asyncio.run(scenario())


def test_a_large_request_does_not_keep_out_a_small_one() -> None:
    async def scenario() -> None:
        recorder = Recorder()
        batcher = Batcher(recorder.render, recorder.batch_size)
        large = asyncio.create_task(gather(batcher, A, orders(*range(1000))))
        await settle()
        before = len(recorder.batches)
        assert await gather(batcher, A, orders(5000)) == [5000]
        assert await gather(batcher, B, orders(1)) == [1]
        # Two batches of the large one may be before it, and one beside it.
        assert len(recorder.batches) - before <= 8
        large.cancel()
        await asyncio.gather(large, return_exceptions=True)

    asyncio.run(scenario())


def test_networks_take_turns() -> None:
    async def scenario() -> None:
        recorder = Recorder(size=1)
        batcher = Batcher(recorder.render, recorder.batch_size)
        recorder.gate.clear()
        tasks = [
            asyncio.create_task(gather(batcher, network, orders(0, 1, 2))) for network in (A, B)
        ]
        await settle()
        recorder.gate.set()
        assert await asyncio.gather(*tasks) == [[0, 1, 2]] * 2
        names = "".join(name for name, _ in recorder.batches)
        assert "aaa" not in names
        assert "bbb" not in names

    asyncio.run(scenario())


def test_one_bad_image_fails_its_own_request() -> None:
    async def scenario() -> None:
        recorder = Recorder()
        recorder.bad_seed = 7
        batcher = Batcher(recorder.render, recorder.batch_size)
        good, bad = await asyncio.gather(
            gather(batcher, A, orders(1, 2)),
            gather(batcher, A, orders(6, 7, 8)),
            return_exceptions=True,
        )
        assert good == [1, 2]
        assert isinstance(bad, FailedPrecondition)

    asyncio.run(scenario())


def test_a_renderer_that_dies_fails_its_batch_and_no_other() -> None:
    async def scenario() -> None:
        recorder = Recorder()
        failed: list[int] = []
        batcher = Batcher(recorder.render, recorder.batch_size, observe_failure=failed.append)
        with pytest.raises(Unavailable):
            await gather(batcher, A, orders(666, 1))
        assert failed == [2]
        assert await gather(batcher, A, orders(1)) == [1]
        recorder.bad_seed = 7
        with pytest.raises(FailedPrecondition):
            await gather(batcher, A, orders(6, 7))
        assert sum(failed) == 2 + 1

    asyncio.run(scenario())


def test_what_nobody_wants_any_more_is_not_rendered() -> None:
    async def scenario() -> None:
        recorder = Recorder(size=1)
        batcher = Batcher(recorder.render, recorder.batch_size)
        recorder.gate.clear()
        first = asyncio.create_task(gather(batcher, A, orders(1)))
        await settle()
        gone = asyncio.create_task(gather(batcher, A, orders(2)))
        stays = asyncio.create_task(gather(batcher, A, orders(3)))
        await settle()
        gone.cancel()
        await settle()
        recorder.gate.set()
        assert await first == [1]
        assert await stays == [3]
        assert [seeds for _, seeds in recorder.batches] == [[1], [3]]

    asyncio.run(scenario())


def test_too_much_waiting_is_refused() -> None:
    async def scenario() -> None:
        recorder = Recorder(size=2)
        batcher = Batcher(recorder.render, recorder.batch_size, most_waiting=3)
        recorder.gate.clear()
        tasks = [asyncio.create_task(gather(batcher, A, orders(seed))) for seed in range(8)]
        await settle()
        recorder.gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        refused = [result for result in results if isinstance(result, ResourceExhausted)]
        assert refused
        assert {error.reason for error in refused} == {"GENERATOR_BUSY"}
        assert [[n] for n, r in enumerate(results) if isinstance(r, list)] == [
            result for result in results if isinstance(result, list)
        ]

    asyncio.run(scenario())


def test_closing_fails_what_waits_and_takes_no_more() -> None:
    async def scenario() -> None:
        recorder = Recorder(size=1)
        batcher = Batcher(recorder.render, recorder.batch_size)
        recorder.gate.clear()
        tasks = [asyncio.create_task(gather(batcher, A, orders(seed))) for seed in range(3)]
        await settle()
        await batcher.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, Unavailable) for result in results)
        with pytest.raises(Unavailable):
            await gather(batcher, A, orders(1))

    asyncio.run(scenario())
