"""ScraperService over gRPC: converts and delegates, nothing else."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Callable

from google.longrunning import operations_proto_pb2 as operations_pb2
from google.protobuf.empty_pb2 import Empty

from services.scraper import catalog
from services.scraper.collect import (
    CollectRequest,
    check_source,
    collect,
    refresh,
    refresh_request,
)
from services.scraper.convert import (
    collection_message,
    frames,
    item_message,
    posts,
    source_of,
    takedown_message,
    target_of,
)
from services.scraper.forget import forget
from services.scraper.metrics import ScraperMetrics
from services.scraper.prefix import allowed_prefixes
from tagloom.artifacts import layout
from tagloom.artifacts.collection import Collection, FolderSource
from tagloom.errors import AlreadyExists, FailedPrecondition, TagloomError
from tagloom.folders import served_roots
from tagloom.paging import page_size
from tagloom.rpc.job import Job
from tagloom.rpc.service import Kit
from tagloom.rpc.settings import is_loopback
from tagloom.v1 import scraper_pb2, scraper_pb2_grpc

__all__ = ["ScraperService", "register"]


class ScraperService(scraper_pb2_grpc.ScraperServiceServicer):
    """The methods of scraper.proto."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        loopback = is_loopback(kit.settings.address)
        self._roots = served_roots(os.environ, loopback=loopback)
        self._prefixes = allowed_prefixes(os.environ, loopback=loopback)
        self._metrics = ScraperMetrics(kit.registry)
        kit.on_close(self._close)
        kit.operations.handle(
            "CreateCollection",
            scraper_pb2.CreateCollectionRequest,
            scraper_pb2.Collection,
            self._collect,
        )
        kit.operations.handle(
            "RefreshCollection",
            scraper_pb2.RefreshCollectionRequest,
            scraper_pb2.Collection,
            self._refresh,
        )
        kit.operations.handle(
            "ForgetItems",
            scraper_pb2.ForgetItemsRequest,
            scraper_pb2.Takedown,
            self._forget,
        )

    async def CreateCollection(
        self, request: scraper_pb2.CreateCollectionRequest, context: object
    ) -> operations_pb2.Operation:
        """Accepts the work after checking all that can be checked at once."""
        work = self._work(request)
        name = f"collections/{work.collection_id}"

        async def check() -> None:
            await asyncio.to_thread(check_source, self._kit.store, work)
            key = layout.collection_manifest(work.collection_id)
            if await asyncio.to_thread(self._kit.store.exists, key):
                raise AlreadyExists(
                    f"{name} exists already; choose another id or remove it first.",
                    reason="RESOURCE_EXISTS",
                    resource=name,
                )
            await self._check_idle(name)

        return await self._kit.operations.start(
            "CreateCollection",
            request,
            request_id=request.request_id,
            target=name,
            check=check,
            join=True,
        )

    async def RefreshCollection(
        self, request: scraper_pb2.RefreshCollectionRequest, context: object
    ) -> operations_pb2.Operation:
        """Accepts the work after checking all that can be checked at once."""
        posts(request.max_posts, "max_posts")

        async def check() -> None:
            work = await self._refresh_work(request)
            await asyncio.to_thread(check_source, self._kit.store, work)
            await self._check_idle(request.name)

        return await self._kit.operations.start(
            "RefreshCollection",
            request,
            request_id=request.request_id,
            target=request.name,
            check=check,
            join=True,
        )

    async def ForgetItems(
        self, request: scraper_pb2.ForgetItemsRequest, context: object
    ) -> operations_pb2.Operation:
        """Accepts the work."""
        target_of(request)
        return await self._kit.operations.start(
            "ForgetItems", request, request_id=request.request_id
        )

    async def GetCollection(
        self, request: scraper_pb2.GetCollectionRequest, context: object
    ) -> scraper_pb2.Collection:
        """One collection."""
        return collection_message(
            await asyncio.to_thread(catalog.read_collection, self._kit.store, request.name)
        )

    async def ListCollections(
        self, request: scraper_pb2.ListCollectionsRequest, context: object
    ) -> scraper_pb2.ListCollectionsResponse:
        """A page of collections."""
        found, token = await asyncio.to_thread(
            catalog.list_collections,
            self._kit.store,
            page_size(request.page_size),
            request.page_token,
        )
        return scraper_pb2.ListCollectionsResponse(
            collections=map(collection_message, found), next_page_token=token
        )

    async def ListItems(
        self, request: scraper_pb2.ListItemsRequest, context: object
    ) -> scraper_pb2.ListItemsResponse:
        """A page of items."""
        found, token = await asyncio.to_thread(
            catalog.list_items,
            self._kit.store,
            request.parent,
            page_size(request.page_size),
            request.page_token,
        )
        return scraper_pb2.ListItemsResponse(items=map(item_message, found), next_page_token=token)

    async def DeleteCollection(
        self, request: scraper_pb2.DeleteCollectionRequest, context: object
    ) -> Empty:
        """Removes a collection; not while something works on it, which would go on without what
        it has written."""
        await self._check_idle(request.name, FailedPrecondition)
        await asyncio.to_thread(catalog.delete_collection, self._kit.store, request.name)
        return Empty()

    async def _collect(
        self, request: scraper_pb2.CreateCollectionRequest, job: Job
    ) -> scraper_pb2.Collection:
        return await self._logged(job, collect, self._work(request))

    async def _logged(
        self, job: Job, function: Callable[..., Collection], work: CollectRequest, *more: object
    ) -> scraper_pb2.Collection:
        """Collecting in a worker, whose requests are counted."""
        log = self._metrics.traffic.new_log()
        try:
            work = dataclasses.replace(work, traffic_log=log)
            collection = await job.run_in_worker(function, work, *more)
        except TagloomError as error:
            self._metrics.failed(work.source, error)
            raise
        finally:
            await asyncio.to_thread(self._metrics.traffic.end_log, log)
        self._metrics.finished(collection, new=function is collect)
        return collection_message(collection)

    async def _refresh(
        self, request: scraper_pb2.RefreshCollectionRequest, job: Job
    ) -> scraper_pb2.Collection:
        work = await self._refresh_work(request)
        return await self._logged(job, refresh, work, request.max_posts)

    async def _forget(
        self, request: scraper_pb2.ForgetItemsRequest, job: Job
    ) -> scraper_pb2.Takedown:
        return takedown_message(await job.run_in_worker(forget, target_of(request)))

    async def _refresh_work(self, request: scraper_pb2.RefreshCollectionRequest) -> CollectRequest:
        allowed = CollectRequest(
            "", FolderSource(path=""), folder_roots=self._roots, s3_prefixes=self._prefixes
        )
        return await asyncio.to_thread(refresh_request, self._kit.store, request.name, allowed)

    async def _check_idle(self, name: str, error: type[TagloomError] = AlreadyExists) -> None:
        if running := await self._kit.operations.unfinished(name):
            raise error(
                f"{name} is being collected by {running[0]}; wait for it or cancel it first.",
                reason="COLLECTION_IN_PROGRESS",
                resource=name,
                operation=running[0],
            )

    def _work(self, request: scraper_pb2.CreateCollectionRequest) -> CollectRequest:
        return CollectRequest(
            request.collection_id,
            source_of(request),
            urls=tuple(request.urls.urls),
            frames_per_video=frames(request),
            folder_roots=self._roots,
            s3_prefixes=self._prefixes,
        )

    async def _close(self) -> None:
        await asyncio.to_thread(self._metrics.traffic.close)


def register(kit: Kit) -> None:
    """Adds ScraperService to a server (entry point of the group `tagloom.services`)."""
    scraper_pb2_grpc.add_ScraperServiceServicer_to_server(ScraperService(kit), kit.server)
    kit.announce(scraper_pb2.DESCRIPTOR)
