"""FilterService: converts and delegates."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import grpc.aio
from google.longrunning import operations_proto_pb2 as operations_pb2
from google.protobuf import empty_pb2

from services.filter.build import build_dataset, existing_dataset
from services.filter.convert import (
    build_request,
    dataset_id,
    dataset_message,
    import_request,
    render_request,
    shard_request,
    verdict_message,
    verdict_order,
)
from services.filter.datasets import delete_dataset, get_dataset, list_datasets
from services.filter.forget import forget_images
from services.filter.importing import import_dataset
from services.filter.metrics import FilterMetrics
from services.filter.request import BuildRequest
from services.filter.shards import score_shard
from services.filter.tuning.convert import tune_request, tune_response
from services.filter.tuning.tune import tune
from tagloom.artifacts import layout
from tagloom.errors import AlreadyExists, NotFound
from tagloom.folders import served_roots
from tagloom.paging import invalid_token, offset_of, page_size, token_of
from tagloom.rpc.job import Job
from tagloom.rpc.service import Kit
from tagloom.rpc.settings import is_loopback
from tagloom.v1 import filter_pb2, filter_pb2_grpc

__all__ = ["FilterService", "register"]

Context = grpc.aio.ServicerContext[Any, Any]


class FilterService(filter_pb2_grpc.FilterServiceServicer):
    """Judges collections and writes datasets."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._metrics = FilterMetrics(kit.registry)
        kit.operations.handle(
            "CreateDataset",
            filter_pb2.CreateDatasetRequest,
            filter_pb2.Dataset,
            self._make_dataset,
        )
        loopback = is_loopback(kit.settings.address)
        self._roots = served_roots(os.environ, loopback=loopback)
        kit.operations.handle(
            "ImportDataset",
            filter_pb2.ImportDatasetRequest,
            filter_pb2.Dataset,
            self._import_dataset,
        )
        kit.operations.handle(
            "TuneProfile",
            filter_pb2.TuneProfileRequest,
            filter_pb2.TuneProfileResponse,
            self._tune_profile,
        )
        kit.operations.handle(
            "ForgetImages",
            filter_pb2.ForgetImagesRequest,
            filter_pb2.ForgetImagesResponse,
            self._forget,
        )
        kit.operations.handle(
            "ScoreImages",
            filter_pb2.ScoreImagesRequest,
            filter_pb2.ScoreImagesResponse,
            self._score_images,
        )

    async def CreateDataset(
        self, request: filter_pb2.CreateDatasetRequest, context: Context
    ) -> operations_pb2.Operation:
        asked = build_request(request)

        async def check() -> None:
            await asyncio.to_thread(self._check_possible, asked)
            if running := await self._kit.operations.unfinished(f"datasets/{asked.dataset}"):
                raise _in_progress(f"datasets/{asked.dataset}", running[0])

        return await self._kit.operations.start(
            "CreateDataset",
            request,
            target=f"datasets/{asked.dataset}",
            request_id=request.request_id,
            check=check,
            join=True,
        )

    def _check_possible(self, asked: BuildRequest) -> None:
        """Raises NotFound for the collection, AlreadyExists for another dataset of this id."""
        self._check_collection(asked.collection)
        existing_dataset(self._kit.store, asked)

    def _check_collection(self, collection: str) -> None:
        if not self._kit.store.exists(layout.collection_manifest(collection)):
            name = f"collections/{collection}"
            raise NotFound(
                f"There is no {name}; collect some photos into it first.",
                reason="RESOURCE_NOT_FOUND",
                resource=name,
            )

    async def _make_dataset(
        self, request: filter_pb2.CreateDatasetRequest, job: Job
    ) -> filter_pb2.Dataset:
        # Two builds of one dataset would write over each other's zips. Two that were accepted in
        # the same moment see each other here, and the older one goes on.
        oldest = (await self._kit.operations.unfinished(job.target))[:1]
        if oldest and oldest[0] != job.name:
            raise _in_progress(job.target, oldest[0])
        built = await job.run_in_worker(build_dataset, build_request(request))
        self._metrics.observe(built)
        return dataset_message(built.dataset)

    async def ImportDataset(
        self, request: filter_pb2.ImportDatasetRequest, context: Context
    ) -> operations_pb2.Operation:
        asked = await asyncio.to_thread(import_request, request, self._roots)
        name = f"datasets/{asked.dataset}"

        async def check() -> None:
            if running := await self._kit.operations.unfinished(name):
                raise _in_progress(name, running[0])

        return await self._kit.operations.start(
            "ImportDataset",
            request,
            target=name,
            request_id=request.request_id,
            check=check,
            join=True,
        )

    async def _import_dataset(
        self, request: filter_pb2.ImportDatasetRequest, job: Job
    ) -> filter_pb2.Dataset:
        asked = await asyncio.to_thread(import_request, request, self._roots)
        return dataset_message(await job.run_in_worker(import_dataset, asked))

    async def TuneProfile(
        self, request: filter_pb2.TuneProfileRequest, context: Context
    ) -> operations_pb2.Operation:
        return await self._start_on("TuneProfile", request, tune_request(request).collection)

    async def _tune_profile(
        self, request: filter_pb2.TuneProfileRequest, job: Job
    ) -> filter_pb2.TuneProfileResponse:
        proposal = await job.run_in_worker(tune, tune_request(request))
        return tune_response(request, proposal)

    async def ScoreImages(
        self, request: filter_pb2.ScoreImagesRequest, context: Context
    ) -> operations_pb2.Operation:
        return await self._start_on("ScoreImages", request, shard_request(request).collection)

    async def _score_images(
        self, request: filter_pb2.ScoreImagesRequest, job: Job
    ) -> filter_pb2.ScoreImagesResponse:
        scored = await job.run_in_worker(score_shard, shard_request(request))
        self._metrics.scanned.inc(scored.scanned)
        return filter_pb2.ScoreImagesResponse(
            image_count=scored.images, scanned_count=scored.scanned
        )

    async def _start_on(
        self,
        method: str,
        request: filter_pb2.TuneProfileRequest | filter_pb2.ScoreImagesRequest,
        collection: str,
    ) -> operations_pb2.Operation:
        """Long work on a collection that is there, and makes no resource."""

        async def check() -> None:
            await asyncio.to_thread(self._check_collection, collection)

        return await self._kit.operations.start(
            method,
            request,
            target=request.collection,
            request_id=request.request_id,
            check=check,
            join=True,
        )

    async def GetDataset(
        self, request: filter_pb2.GetDatasetRequest, context: Context
    ) -> filter_pb2.Dataset:
        wanted = dataset_id(request.name)
        return dataset_message(await asyncio.to_thread(get_dataset, self._kit.store, wanted))

    async def ListDatasets(
        self, request: filter_pb2.ListDatasetsRequest, context: Context
    ) -> filter_pb2.ListDatasetsResponse:
        datasets, token = await asyncio.to_thread(
            list_datasets, self._kit.store, page_size(request.page_size), request.page_token
        )
        return filter_pb2.ListDatasetsResponse(
            datasets=[dataset_message(dataset) for dataset in datasets], next_page_token=token
        )

    async def ListVerdicts(
        self, request: filter_pb2.ListVerdictsRequest, context: Context
    ) -> filter_pb2.ListVerdictsResponse:
        wanted, size = dataset_id(request.parent), page_size(request.page_size)
        read = verdict_order(request.order_by)
        listed = f"{request.parent}/verdicts/{request.order_by}".removesuffix("/")
        start = offset_of(request.page_token, listed)
        verdicts, total = await asyncio.to_thread(
            read, self._kit.store, wanted, start=start, limit=size
        )
        if start and start >= total:
            raise invalid_token(request.page_token)
        end = start + len(verdicts)
        return filter_pb2.ListVerdictsResponse(
            verdicts=[verdict_message(verdict) for verdict in verdicts],
            next_page_token=token_of(listed, end) if end < total else "",
        )

    async def RenderVerdict(
        self, request: filter_pb2.RenderVerdictRequest, context: Context
    ) -> filter_pb2.RenderVerdictResponse:
        asked = render_request(request)
        jpeg = await self._kit.workers.run(asked.function, self._kit.store, *asked.arguments)
        return filter_pb2.RenderVerdictResponse(jpeg=jpeg)

    async def ForgetImages(
        self, request: filter_pb2.ForgetImagesRequest, context: Context
    ) -> operations_pb2.Operation:
        for sha256 in request.sha256:
            layout.image(sha256)  # refuses what is no hash
        return await self._kit.operations.start(
            "ForgetImages", request, request_id=request.request_id
        )

    async def _forget(
        self, request: filter_pb2.ForgetImagesRequest, job: Job
    ) -> filter_pb2.ForgetImagesResponse:
        cleared = await job.run_in_worker(forget_images, list(request.sha256))
        return filter_pb2.ForgetImagesResponse(datasets=cleared.held, changed=cleared.changed)

    async def DeleteDataset(
        self, request: filter_pb2.DeleteDatasetRequest, context: Context
    ) -> empty_pb2.Empty:
        await asyncio.to_thread(delete_dataset, self._kit.store, dataset_id(request.name))
        return empty_pb2.Empty()


def _in_progress(name: str, operation: str) -> AlreadyExists:
    return AlreadyExists(
        f"{name} is being made by {operation}; wait for it or cancel it (`tagloom operations`), or "
        "choose another id.",
        reason="DATASET_IN_PROGRESS",
        resource=name,
        operation=operation,
    )


def register(kit: Kit) -> None:
    """Plugs the filter into a server."""
    filter_pb2_grpc.add_FilterServiceServicer_to_server(FilterService(kit), kit.server)
    kit.announce(filter_pb2.DESCRIPTOR)
