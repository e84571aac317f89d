"""GeneratorService over gRPC: converts and delegates, nothing else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from services.generator import worker
from services.generator.appearance import check_layers, check_rendering
from services.generator.batching import Batcher
from services.generator.convert import (
    DEFAULT_FRAMES,
    image_format,
    network_message,
    rendering,
    truncation,
)
from services.generator.metrics import GeneratorMetrics
from services.generator.points import Order, closed_path, mixed_points, seed_points
from tagloom.artifacts import layout
from tagloom.compute import COMPUTE_ENVIRONMENT
from tagloom.cores import usable_cores
from tagloom.errors import TagloomError
from tagloom.networks.catalog import CatalogEntry, list_networks, open_network
from tagloom.paging import page_of, page_size
from tagloom.rpc.service import Kit
from tagloom.rpc.workers import WorkerDied, Workers
from tagloom.v1 import generator_pb2, generator_pb2_grpc

__all__ = ["GeneratorService", "register"]

_IDLE_S = 900.0


class GeneratorService(generator_pb2_grpc.GeneratorServiceServicer):
    """The methods of generator.proto."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        worker.cache_bytes()  # a wrong setting is told at the start
        worker.precision()
        threads = os.environ.get("OMP_NUM_THREADS") or str(usable_cores())
        # One process: batches share it, and it keeps the networks. A fixed number of threads,
        # since sums may be split by it.
        self._workers = Workers(
            1,
            environment={
                **COMPUTE_ENVIRONMENT,
                "OMP_NUM_THREADS": threads,
                "NUMBA_NUM_THREADS": threads,
            },
            recycle_after=100_000,
            idle_s=_IDLE_S,
            log_format=kit.settings.log_format,
            log_level=kit.settings.log_level,
        )
        metrics = GeneratorMetrics(kit.registry)
        self._batcher = Batcher(
            self._render,
            self._batch_size,
            observe=metrics.rendered,
            observe_failure=metrics.failed,
        )
        metrics.watch(lambda: self._batcher.waiting)
        self._batch_sizes: dict[int, int] = {}
        kit.on_close(self._close)

    async def GenerateImages(
        self, request: generator_pb2.GenerateImagesRequest, context: object
    ) -> AsyncIterator[generator_pb2.GenerateImagesResponse]:
        """One image per seed, in the order of the seeds, or per pair of seeds."""
        if request.HasField("mixing"):
            mixing = request.mixing
            points = mixed_points(request.seeds, mixing.seeds, mixing.layers)
        else:
            points = seed_points(request.seeds)
        psi, format = truncation(request), image_format(request.format)
        how = rendering(request.rendering)
        entry = await self._open(request.network)
        check_rendering(how, entry.generator_spec, entry.name)
        check_layers(request.mixing.layers, entry.generator_spec, entry.name)
        images = self._batcher.stream(entry, (Order(point, psi, format, how) for point in points))
        index = 0
        async with aclosing(images):
            async for image in images:
                point = points[index]
                yield generator_pb2.GenerateImagesResponse(
                    seed=point.seeds[0],
                    image=image,
                    mixed_seed=point.mixed.seed if point.mixed else 0,
                )
                index += 1

    async def InterpolateImages(
        self, request: generator_pb2.InterpolateImagesRequest, context: object
    ) -> AsyncIterator[generator_pb2.InterpolateImagesResponse]:
        """Frames on a closed path through the seeds."""
        path = closed_path(request.seeds, request.frames_per_seed or DEFAULT_FRAMES)
        psi, format = truncation(request), image_format(request.format)
        how = rendering(request.rendering)
        entry = await self._open(request.network)
        check_rendering(how, entry.generator_spec, entry.name)
        images = self._batcher.stream(entry, (Order(point, psi, format, how) for point in path))
        frame = 0
        async with aclosing(images):
            async for image in images:
                yield generator_pb2.InterpolateImagesResponse(frame=frame, image=image)
                frame += 1

    async def GetNetwork(
        self, request: generator_pb2.GetNetworkRequest, context: object
    ) -> generator_pb2.Network:
        """One network."""
        layout.parse_name(request.name, "networks/{}")
        return network_message((await self._open(request.name)).network)

    async def ListNetworks(
        self, request: generator_pb2.ListNetworksRequest, context: object
    ) -> generator_pb2.ListNetworksResponse:
        """A page of networks."""
        size = page_size(request.page_size)
        networks = await asyncio.to_thread(list_networks, self._kit.store)
        by_id = {network.id: network for network in networks}
        page, token = page_of(by_id, "networks", size, request.page_token)
        return generator_pb2.ListNetworksResponse(
            networks=[network_message(by_id[network_id]) for network_id in page],
            next_page_token=token,
        )

    async def _open(self, name: str) -> CatalogEntry:
        return await asyncio.to_thread(open_network, self._kit.store, name)

    async def _render(
        self, entry: CatalogEntry, orders: Sequence[Order]
    ) -> list[bytes | TagloomError]:
        arguments = (self._kit.store.url, entry, orders)
        try:
            return await self._workers.run(worker.render, *arguments)
        except WorkerDied:
            # Rendering changes nothing, so it may be done again; a second death is no accident.
            return await self._workers.run(worker.render, *arguments)

    async def _batch_size(self, entry: CatalogEntry) -> int:
        resolution = entry.network.resolution
        if resolution not in self._batch_sizes:
            self._batch_sizes[resolution] = await self._workers.run(worker.batch_size, resolution)
        return self._batch_sizes[resolution]

    async def _close(self) -> None:
        await self._batcher.close()
        await self._workers.close()


def register(kit: Kit) -> None:
    """Adds GeneratorService to a server (entry point of the group `tagloom.services`)."""
    generator_pb2_grpc.add_GeneratorServiceServicer_to_server(GeneratorService(kit), kit.server)
    kit.announce(generator_pb2.DESCRIPTOR)
